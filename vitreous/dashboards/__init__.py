"""Feature dashboards: a record of what a coder's latents do, collected from a store and written as a static folder.

record = collect(coder, store, images)
render(record, "dashboard")      # open dashboard/index.html
"""

from vitreous.dashboards.collect import collect
from vitreous.dashboards.record import Record
from vitreous.dashboards.render import render

__all__ = ["Record", "collect", "render"]
