"""The report page: one HTML file that works without a network.

`render` joins the sections. `html` makes their parts, `page.html` has the frame and its style, and
`page.js` draws figures. `explorer.js`
links the plots of rows; `points.js`, `track.js`, `list.js` and `rows.js` are its parts.
"""
