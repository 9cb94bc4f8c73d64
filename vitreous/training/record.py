"""The log of a run: rows to a CSV file and, if asked for, to Weights & Biases."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from vitreous.errors import MissingDependencyError
from vitreous.sae.disk import write_bytes


class RunLog:
    """One row per coder and logging step. After a resume, rows beyond the checkpoint are dropped first."""

    def __init__(self, folder: Path | None, step: int, config: dict[str, Any], wandb: dict[str, Any] | None) -> None:
        """Open the log.

        Args:
            folder: where ``metrics.csv`` goes; None keeps rows in memory only.
            step: the step that the run continues from.
            config: shown in W&B.
            wandb: arguments of ``wandb.init`` (project, name, mode="offline", ...); None leaves W&B alone.
        """
        self.path = None if folder is None else folder / "metrics.csv"
        self.rows = [row for row in self._old() if int(row["step"]) <= step]
        if self.path is not None:
            write_bytes(self.path, _csv(self.rows, header=True).encode())
        self._run = _start_wandb(folder, config, wandb) if wandb is not None else None

    def add(self, rows: dict[str, dict[str, Any]]) -> None:
        """Append one row for every coder of ``{coder: {"step": ..., metric: value}}``."""
        new = [{"coder": name, **row} for name, row in rows.items()]
        if self.path is not None:
            with open(self.path, "a", newline="") as file:
                file.write(_csv(new, header=not self.rows))
        self.rows += new
        if self._run is not None:
            step = new[0]["step"]
            values = {f"{r['coder']}/{k}": v for r in new for k, v in r.items() if k not in ("coder", "step")}
            self._run.log(values, step=step)

    def close(self) -> None:
        """Finish the W&B run, if there is one."""
        if self._run is not None:
            self._run.finish()

    def _old(self) -> list[dict[str, Any]]:
        if self.path is None or not self.path.exists():
            return []
        text = self.path.read_text()
        whole = text[: text.rfind("\n") + 1]  # a kill may leave half a line
        return [row for row in csv.DictReader(io.StringIO(whole)) if row.get("step", "").isdigit()]


def _csv(rows: list[dict[str, Any]], *, header: bool) -> str:
    if not rows:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    if header:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _start_wandb(folder: Path | None, config: dict[str, Any], options: dict[str, Any]) -> Any:
    """Begin a run, or continue the one whose id stands in the folder."""
    try:
        import wandb
    except ImportError as error:
        raise MissingDependencyError("logging to Weights & Biases needs the package wandb") from error
    known = folder / "wandb.json" if folder is not None else None
    previous = json.loads(known.read_text()) if known is not None and known.exists() else {}
    run = wandb.init(config=config, dir=None if folder is None else str(folder), resume="allow", **previous, **options)
    if known is not None:
        write_bytes(known, json.dumps({"id": run.id}).encode())
    return run
