"""What a run says while it trains: a line with time left, metrics as JSONL, TensorBoard as an extra."""

import contextlib
import dataclasses
import importlib.util
import json
import math
import pathlib
import sys
import time
from collections.abc import Iterator, Sequence

from prouter_jax.config import Train
from prouter_jax.io import files
from prouter_jax.io.display import log_line
from prouter_jax.io.files import uploaded
from prouter_jax.metrics import Fit
from prouter_jax.training.multihost import is_primary
from prouter_jax.training.state import TrainState

METRICS = "metrics.jsonl"
_SECONDS_BETWEEN_LINES = 1.0
_FIT = "validation_"


class Progress:
    """Follows one run; a context manager that closes its files. Of several processes, the first one speaks."""

    def __init__(self, workdir: pathlib.Path, config: Train, name: str):
        self.path = workdir / METRICS
        self.end = config.num_train_steps
        self.name = name
        self.printed = time.monotonic()
        self.mark = (0, self.printed)  # step and time from which the rate is counted
        self.compiled = False
        self.last = "no evaluation yet"
        self.speaks = is_primary()
        self.closing = contextlib.ExitStack()
        asked = config.tensorboard and self.speaks
        self.board = self.closing.enter_context(_tensorboard(workdir)) if asked else None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_) -> None:
        self._print("", end="")
        self.closing.close()

    def resume(self, step: int, rejected: list[str], changes: Sequence[str] = ()) -> None:
        """Says where the run starts, and drops metrics of steps that will be done again.

        Args:
          changes: how this machine differs from that of the step, if it does.
        """
        self.mark = (max(step, 0), time.monotonic())
        if not self.speaks:
            return
        for reason in rejected:
            self._print(f"rejected checkpoint: {reason}")
        if step >= 0:
            self._print(f"resumed from step {step}")
        if changes:
            self._print(f"not to the last bit as an undisturbed run: saved with {'; '.join(changes)}")
        lines = self.path.read_bytes().splitlines() if self.path.exists() and step >= 0 else []
        done = [line for line in lines if (record := _read_record(line)) is not None and record["step"] <= step]
        files.write_whole(self.path, b"".join(line + b"\n" for line in done))

    def begin(self, step: int, end: int) -> None:
        """Begins steps of another kind, which take another time each; `end` is the last one."""
        self.mark, self.end, self.compiled = (step, time.monotonic()), end, False

    def stepped(self, step: int) -> None:
        """Shows, once a second on a terminal, how far the run is; the first step, which is compiled, has no speed."""
        if not self.compiled:
            self.compiled, self.mark = True, (step, time.monotonic())
        if sys.stderr.isatty() and time.monotonic() - self.printed > _SECONDS_BETWEEN_LINES:
            self._print(self._line(step), end="")

    def evaluated(self, state: TrainState, metrics: dict[str, float]) -> None:
        """Records one evaluation."""
        if not self.speaks:
            return
        step, reward, best = int(state.step), float(state.validation_reward), float(state.best_reward)
        found = {"validation_reward": reward, "best_validation_reward": best} if math.isfinite(reward) else {}
        record = {"step": step, **found, **metrics}
        rate = self._rate(step)
        files.append(self.path, json.dumps(record | {"steps_per_second": round(rate, 2)}) + "\n")
        if self.board is not None:
            for name, value in record.items():
                self.board.add_scalar(name, value, step)
        loss = [f"loss {metrics['loss']:.4f}"] if metrics else []
        self.last = ", ".join(loss + [f"validation reward {reward:.4f} (best {best:.4f})"] * bool(found))
        self._print(self._line(step))
        self.mark = (step, time.monotonic())

    def _rate(self, step: int) -> float:
        return (step - self.mark[0]) / max(time.monotonic() - self.mark[1], 1e-9)

    def _line(self, step: int) -> str:
        rate = self._rate(step)
        speed = f", {rate:.1f} steps/s, {(self.end - step) / rate:.0f} s left" if rate else ""
        return f"step {step}/{self.end}, {self.last}{speed}"

    def _print(self, text: str, end: str = "\n") -> None:
        self.printed = time.monotonic()
        if self.speaks:
            log_line(f"{self.name}: {text}" if text else "", end)


def to_record(fit: Fit) -> dict[str, float]:
    """How well validation's choices were foreseen, as the fields of a line of metrics."""
    return {f"{_FIT}{name}": value for name, value in dataclasses.asdict(fit).items() if math.isfinite(value)}


def read_fit(workdir: pathlib.Path) -> Fit | None:
    """How well the best checkpoint foresaw the choices of validation; None where a run did not record it.

    Raises:
      ValueError: if the metrics are damaged.
    """
    best = max(_read_records(workdir), key=_rank, default={})
    if f"{_FIT}log_loss" not in best:
        return None
    return Fit(**{field.name: best.get(f"{_FIT}{field.name}", math.nan) for field in dataclasses.fields(Fit)})


def read_best_step(workdir: pathlib.Path) -> int:
    """The step of the first highest validation reward, gradient steps after EM not counted.

    Raises:
      ValueError: if no evaluation is recorded, or the metrics are damaged.
    """
    found = [record for record in _read_records(workdir) if "accepted" not in record]
    if not found:
        raise ValueError(f"{workdir / METRICS}: expected the evaluations of a finished training, found none")
    return max(found, key=lambda record: record["validation_reward"])["step"]


def _read_records(workdir: pathlib.Path) -> list[dict]:
    """The evaluations of a run; a last line that a kill cut off does not count."""
    path = workdir / METRICS
    lines = path.read_bytes().splitlines() if path.exists() else []
    records = [_read_record(line) for line in lines]
    for row, record in enumerate(records):
        if (record is None and row < len(lines) - 1) or (record is not None and "validation_reward" not in record):
            raise ValueError(f"{path}, row {row}: expected the numbers of an evaluation, found {lines[row][:80]}")
    return [record for record in records if record is not None]


def _read_record(line: bytes) -> dict | None:
    """A line of metrics; None if it is not an object of numbers with a step."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    numbers = isinstance(record, dict) and all(type(value) in (int, float) for value in record.values())
    return record if numbers and type(record.get("step")) is int else None


def _rank(record: dict) -> tuple[float, float]:
    """Where `training.gate` accepted the trained numbers the last is restored, else that of the highest reward."""
    return record.get("accepted", 0.0), record["validation_reward"]


def require_tensorboard() -> None:
    """Raises a ValueError if the package that writes for TensorBoard is not installed."""
    if importlib.util.find_spec("tensorboardX") is None:
        raise ValueError("config.train.tensorboard: pip install 'prouter-jax[tensorboard]' first")


@contextlib.contextmanager
def _tensorboard(workdir: pathlib.Path) -> Iterator:
    """What writes for TensorBoard; into a bucket at the end, for nothing can be appended there."""
    require_tensorboard()
    from tensorboardX import SummaryWriter  # pyright: ignore[reportMissingImports]

    with (
        uploaded(workdir / "tensorboard") as folder,
        contextlib.closing(SummaryWriter(str(folder))) as board,
    ):
        yield board
