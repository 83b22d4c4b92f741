"""The report page: one HTML file that works without a network.

`render` joins the sections. `html` makes their parts, `page.html` has the frame and its style, and
`figures.js` draws the interactive figures.
"""
