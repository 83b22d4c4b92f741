"""The report page: one HTML file, with everything in it, that needs no network.

`render` puts the sections together; `html` has what they are made of, `page.html` the frame and its
style, `figures.js` the figures that the reader can choose in.
"""
