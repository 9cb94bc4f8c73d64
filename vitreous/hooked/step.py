"""Which step of a generation is running, and hooks that act at some steps only."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, no_type_check

from torch import nn

from vitreous.errors import BadInputError
from vitreous.hooked.point import Point
from vitreous.hooked.wiring import Undo

Steps = int | slice | Iterable[int] | None
"""Steps of a generation: 0 reads the prompt and gives the first token, t reads the t-th token; None for all."""


@no_type_check
class Clock:
    """Counts the steps of a generation while anything in the model is hooked; takes the place of a wire in each tower.

    A forward without a past reads a prompt: step 0. Later ones are told apart by the length of the past, which is the
    same wherever in one forward it is looked at: at the start of the whole model's forward (where tokens are embedded),
    and of the language model's (some models generate without the whole model's forward). What else runs, a vision tower
    or a connector, runs for a prompt.

    Args:
        root: the native model.
        towers: the towers of it.
        language: the one of them that generates.
    """

    def __init__(self, root: nn.Module, towers: list[Any], language: Any) -> None:
        reads = [(tower.tower, self._prompt) for tower in towers if tower is not language]
        self.hooks = [(root, self._tick), *reads, (language.tower, self._tick)]
        self.hooked: set[str] = set()
        self.undo: list[Undo] = []
        self.restart()
        for i, tower in enumerate(towers):
            tower.wires.append(self)
            for name, point in tower.hook_dict.items():
                point.clock = self
                point.on_change = partial(self._changed, f"{i}.{name}", point, point.on_change)

    def restart(self) -> None:
        """The next forward is step 0, even if it is given a past."""
        self.step, self.fresh = 0, True
        self.start, self.first = 0, None  # lengths of the past at steps 0 and 1

    def _changed(self, name: str, point: Point, sync: Callable[[], None]) -> None:
        sync()
        (self.hooked.add if point.active else self.hooked.discard)(name)
        self.sync()

    def sync(self) -> None:
        """Starts counting with the first hook and stops with the last."""
        if self.hooked and not self.undo:
            self.undo = [
                module.register_forward_pre_hook(begin, with_kwargs=True, prepend=True).remove
                for module, begin in self.hooks
            ]
        elif not self.hooked:
            self.detach()

    def detach(self) -> None:
        """Takes the counting off the native modules."""
        for undo in self.undo:
            undo()
        self.undo = []

    def _prompt(self, *_: Any) -> None:
        self.step = 0

    def _tick(self, _: Any, __: Any, kwargs: Any) -> None:
        past = kwargs.get("past_key_values")
        length = 0 if past is None else int(past.get_seq_length())
        if self.fresh or not length:
            self.restart()
            self.start, self.fresh = length, False
        elif length != self.start:
            self.first = length if self.first is None else self.first
            self.step = length - self.first + 1


def chosen(steps: Steps) -> Callable[[int], bool]:
    """Whether a step is one of `steps`.

    >>> [t for t in range(6) if chosen(slice(1, None, 2))(t)]
    [1, 3, 5]

    Raises:
        BadInputError: for negative steps, or none at all.
    """
    if steps is None:
        return lambda step: True
    if isinstance(steps, slice):
        start, stop, stride = steps.start or 0, steps.stop, steps.step or 1
        if min(start, stop or 0) < 0 or stride < 1:
            raise BadInputError(f"steps={steps}: steps count from 0 (the prompt) upwards")
        return lambda step: step >= start and (stop is None or step < stop) and (step - start) % stride == 0
    wanted = frozenset([steps] if isinstance(steps, int) else steps)
    if not wanted or min(wanted) < 0:
        raise BadInputError(f"steps={steps}: give steps from 0 (the prompt) upwards, or None for all")
    return wanted.__contains__


def any_before(steps: Steps, end: int) -> bool:
    """Whether any of the steps comes before `end`."""
    return any(map(chosen(steps), range(end)))


@no_type_check
def at_steps(function: Callable[..., Any], steps: Steps) -> Callable[..., Any]:
    """A hook function that acts at the chosen steps only."""
    wanted = chosen(steps)
    return function if steps is None else partial(_act, function, wanted)


@no_type_check
def _act(function: Callable[..., Any], wanted: Callable[[int], bool], tensor: Any, hook: Point) -> Any:
    return function(tensor, hook=hook) if wanted(hook.step) else None
