"""Feature dashboards: a record of what a coder's latents do, collected from a store and written as a static folder.

record = collect(coder, store, images)
render(record, "dashboard")               # open dashboard/index.html
render_single(record, "dashboard.html")   # or one file
"""

from vitreous.dashboards.collect import collect
from vitreous.dashboards.comparison import compare
from vitreous.dashboards.record import Record
from vitreous.dashboards.render import render
from vitreous.dashboards.single import render_single

__all__ = ["Record", "collect", "compare", "render", "render_single"]
