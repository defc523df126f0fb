"""The commands. Exit code 0: done and true; 1: the answer is no; 2: the input is bad, with one line that says how."""

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import NoReturn


class _Parser(argparse.ArgumentParser):
    """Bad usage is bad input: one line on standard error, exit code 2."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


def parser() -> argparse.ArgumentParser:
    """The command line of ``derive``."""
    top = _Parser(prog="derive", description="Derive gradients, prove formulas, generate kernels, train.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    def command(name: str, about: str, example: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=about, description=about, epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip

    audit = command(
        "audit", "Judge every formula of the documents (default: ours); exit code 1 if one is refuted.", "derive audit notes.md --format html --output report.html"
    )  # fmt: skip
    audit.add_argument("documents", nargs="*", metavar="DOCUMENT", help="Markdown, LaTeX or any text with formulas")
    what = audit.add_mutually_exclusive_group()
    what.add_argument("--format", choices=["text", "json", "html"], default="text")
    what.add_argument("--errata", action="store_true", help="only what is wrong or needs a reading, as Markdown")
    audit.add_argument("--output", metavar="FILE", help="write the report there instead of standard output")
    audit.add_argument("--jobs", metavar="N", type=_jobs, default=1, help="processes to use, or `all` (default: 1)")

    show = command(
        "show", "Print a derivation step by step; with --plan, what a network does in a step.", "derive show softmax+softmax_cross_entropy --format latex"
    )  # fmt: skip
    show.add_argument(
        "name", metavar="NAME", help="a definition; LAYER+COST for both taken together; winograd, or one F(m, r); with --plan a network: a .cfg file, or what `derive train` left"
    )  # fmt: skip
    show.add_argument("--format", choices=["text", "latex", "html"], default="text", help="latex: of derivations alone")
    show.add_argument(
        "--plan", action="store_true", help="the kernels of a training step in their stages, how each is computed, and how memory is shared"
    )  # fmt: skip
    show.add_argument(
        "--batch", metavar="N", type=_whole(1), help="samples of a step (default: as the file says, or 64)"
    )
    show.add_argument("--threads", metavar="N", type=_whole(1), help="of the step (default: as many as there are)")
    show.add_argument("--accuracy", choices=ACCURACIES, help=f"{ACCURACY} (default: as in training)")
    show.add_argument("--inference", action="store_true", help="the plan of a prediction instead")

    generate = command(
        "generate", "Write the kernel modules, ours or those of your own definitions.", "derive generate mylayers.py --output mine/"
    )  # fmt: skip
    generate.add_argument("definitions", nargs="*", metavar="FORWARD.py", help="definition files of your own")
    generate.add_argument("--output", metavar="DIR", help="where to write (default: the installed `generated` package)")
    generate.add_argument(
        "--check", action="store_true", help="write nothing; exit code 1 with a diff if files are stale"
    )

    demo = command(
        "demo", "The whole way on real digits: audit, generate, train, evaluate.", "derive demo --output derive-demo"
    )
    demo.add_argument("--output", metavar="DIR", default="derive-demo", help="where the report and the picture go")
    demo.add_argument("--seed", type=int, default=0, help="the seed of all randomness")

    train = command(
        "train", "Train a network; leaves a checkpoint and a line of history each epoch. Exit code 130 after Ctrl-C.", "derive train lenet.cfg --data digits --epochs 20 --learning-rate 0.05 --output lenet"
    )  # fmt: skip
    train.add_argument("network", metavar="NETWORK", help="a .cfg file, in Darknet's grammar: docs/training.md")
    train.add_argument("--data", metavar="DIR_OR_NAME", help=DATA)
    train.add_argument("--epochs", metavar="N", type=_whole(1), help="default: max_batches of [net], else 10")
    train.add_argument("--batch-size", metavar="N", type=_whole(1), help="default: batch of [net]")
    train.add_argument(
        "--subdivisions", metavar="N", type=_whole(1), help="parts that a batch goes in, for less memory (default: as in [net])"
    )  # fmt: skip
    train.add_argument("--learning-rate", metavar="X", type=_number, help="default: learning_rate of [net]")
    train.add_argument("--momentum", metavar="X", type=_number, help="default: momentum of [net]")
    train.add_argument("--weight-decay", metavar="X", type=_number, help="default: decay of [net]")
    train.add_argument(
        "--schedule", choices=["policy", "constant", "cosine"], help="the learning rate: policy and burn_in of [net] (default), constant, or falling along a cosine"
    )  # fmt: skip
    train.add_argument(
        "--augment", metavar="KINDS", type=_augment, help="samples changed anew each epoch: flip, shift or flip,shift (default: none); for detectors flip, jitter, colour (default: all, as the file says), or none"
    )  # fmt: skip
    train.add_argument(
        "--names", metavar="FILE", help="a detector's classes in the order of their numbers, a line each"
    )
    train.add_argument(
        "--normalisation", choices=["batch_norm_darknet", "batch_norm"], help=NORMALISATION
    )  # fmt: skip
    train.add_argument("--accuracy", choices=ACCURACIES, help=f"{ACCURACY} (default: default)")
    train.add_argument("--seed", metavar="N", type=_whole(0), help="the seed of all randomness (default: 0)")
    train.add_argument("--output", metavar="DIR", help="where network and history go (default: derive-train/NETWORK)")
    train.add_argument(
        "--resume", action="store_true", help="go on from the checkpoint in DIR; what is not said anew is as it was"
    )

    evaluate = command(
        "evaluate", "Loss, accuracy, and what each class is taken for, on held-out samples.", "derive evaluate lenet/network.npz --data digits"
    )  # fmt: skip
    evaluate.add_argument(
        "network", metavar="NETWORK_FILE", help="what `derive train` left: network.npz, or its folder"
    )
    evaluate.add_argument("--data", metavar="DIR_OR_NAME", required=True, help=DATA)
    evaluate.add_argument("--accuracy", choices=ACCURACIES, help=f"{ACCURACY} (default: as in training)")
    evaluate.add_argument("--format", choices=["text", "json"], default="text")

    predict = command(
        "predict", "Labels and probabilities of images and other samples.", "derive predict lenet/network.npz five.png seven.png --output labels.csv"
    )  # fmt: skip
    predict.add_argument("network", metavar="NETWORK_FILE", help="what `derive train` left: network.npz, or its folder")
    predict.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="images, folders of images, .npz files with an array X, IDX files"
    )
    predict.add_argument("--accuracy", choices=ACCURACIES, help=f"{ACCURACY} (default: as in training)")
    predict.add_argument("--output", metavar="FILE", help="write all outputs to a .json or .csv file")

    detect = command(
        "detect", "Find things in pictures: prints them, draws boxes, writes JSON.", "derive detect yolov3-tiny.cfg yolov3-tiny.weights dog.jpg --names coco.names --output found"
    )  # fmt: skip
    detect.add_argument("configuration", metavar="CFG", help="the detector's .cfg file, in Darknet's grammar")
    detect.add_argument("network", metavar="WEIGHTS", help="a .weights file of Darknet's, or what `derive train` left")
    detect.add_argument("pictures", nargs="+", metavar="IMAGE", help="pictures, or folders of pictures")
    detect.add_argument(
        "--threshold", metavar="P", type=_share, default=0.5, help="least probability that is shown (default: 0.5)"
    )
    detect.add_argument(
        "--nms",
        metavar="X",
        type=_share,
        default=0.45,
        help="two boxes of a class that overlap more are one (default: 0.45)",
    )
    detect.add_argument("--names", metavar="FILE", help=NAMES)
    detect.add_argument(
        "--output", metavar="DIR", default="derive-detect", help="where pictures with boxes and detections.json go (default: derive-detect)"
    )  # fmt: skip
    detect.add_argument("--normalisation", choices=["batch_norm_darknet", "batch_norm"], help=NORMALISATION)
    detect.add_argument("--accuracy", choices=ACCURACIES, help=f"{ACCURACY} (default: as in training)")
    detect.add_argument("--format", choices=["text", "json"], default="text")
    return top


NAMES = "the classes' names, a line each (default: the .names file beside WEIGHTS or CFG)"
NORMALISATION = "what batch_normalize=1 gives: sqrt(var) + eps as in Darknet (default), or sqrt(var + eps)"
ACCURACIES = ["default", "fast", "direct"]
ACCURACY = "how contractions are computed: default, with rounding errors at most twice those of direct; fast, at most six times; direct, as they stand"
DATA = "a folder of IDX files or of class folders of images, an .npz file with X and y, or the name digits; for a detector, a Pascal VOC folder or a .data file as Darknet's"


def _whole(least: int) -> Callable[[str], int]:
    """Reads a whole number, that or more."""

    def read(said: str) -> int:
        if not (said.isascii() and said.isdecimal()) or int(said) < least:
            raise argparse.ArgumentTypeError(f"{said!r} is not a whole number, {least} or more")
        return int(said)

    return read


def _number(said: str) -> float:
    """A finite number, 0 or more."""
    try:
        value = float(said)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{said!r} is not a number, 0 or more")
    return value


def _share(said: str) -> float:
    """A number from 0 to 1."""
    try:
        value = float(said)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{said!r} is not a number from 0 to 1")
    return value


def _augment(said: str) -> tuple[str, ...]:
    kinds = () if said == "none" else tuple(said.split(","))
    if not set(kinds) <= {"flip", "shift", "jitter", "colour"}:
        raise argparse.ArgumentTypeError(f"{said!r}: write none, or flip, shift, jitter, colour with commas between")
    return kinds


def _jobs(said: str) -> int:
    """A number of processes; `all` stands for one a core."""
    if said == "all":
        return os.cpu_count() or 1
    if not said.isdecimal() or int(said) < 1:
        raise argparse.ArgumentTypeError(f"{said!r} is not a number of processes: write 1, 2, ... or all")
    return int(said)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    asked = parser().parse_args(arguments)
    try:
        return COMMANDS[asked.command](asked)
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except (ValueError, OSError, MemoryError) as error:  # bad input; every error of ours is a ValueError
        print(f"derive {asked.command}: {_one_line(error)}", file=sys.stderr)
        return 2


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())


def _audit(asked: argparse.Namespace) -> int:
    from derive.audit.reports.report import run

    return run(asked.documents, "errata" if asked.errata else asked.format, asked.output, asked.jobs)


def _show(asked: argparse.Namespace) -> int:
    own = {key: getattr(asked, key) for key in ("batch", "threads", "accuracy", "inference") if getattr(asked, key)}
    if asked.plan:
        from derive.training.plan import show_plan

        print(show_plan(Path(asked.name), asked.format, **own), end="")
        return 0
    if own:
        raise ValueError(f"--{next(iter(own))} is for the plan of a network: add --plan")
    from derive.generate import own_systems
    from derive.pages import render
    from derive.show import pages_named

    print(render(pages_named(asked.name, own_systems()), asked.format), end="")
    return 0


def _generate(asked: argparse.Namespace) -> int:
    from derive.generate import generate

    output = Path(asked.output) if asked.output else None
    names, diff = generate([Path(f) for f in asked.definitions], output, check=asked.check)
    if asked.check:
        if names:
            print(diff, end="")
            print(f"stale: {', '.join(names)}; run `derive generate`", file=sys.stderr)
        else:
            print("every generated file is what its definition gives")
        return 1 if names else 0
    print(f"{len(names)} files written to {output or 'generated'}")
    return 0


def _demo(asked: argparse.Namespace) -> int:
    from derive.demo import demo

    return demo(Path(asked.output), asked.seed)


def _train(asked: argparse.Namespace) -> int:
    from derive.training.train import Asked, train

    said = Asked(**{f.name: getattr(asked, f.name) for f in fields(Asked)})
    said = replace(said, names=Path(asked.names) if asked.names else None)
    output = Path(asked.output) if asked.output else None
    return train(Path(asked.network), said, output, resume=asked.resume)


def _evaluate(asked: argparse.Namespace) -> int:
    from derive.training.evaluate import evaluate

    return evaluate(Path(asked.network), asked.data, asked.format, asked.accuracy)


def _predict(asked: argparse.Namespace) -> int:
    from derive.training.predict import predict

    output = Path(asked.output) if asked.output else None
    return predict(Path(asked.network), [Path(name) for name in asked.inputs], output, asked.accuracy)


def _detect(asked: argparse.Namespace) -> int:
    from derive.detection.detect import Asked, detect

    return detect(
        Asked(
            Path(asked.configuration), Path(asked.network), tuple(map(Path, asked.pictures)), asked.threshold, asked.nms,
            Path(asked.names) if asked.names else None, Path(asked.output), asked.normalisation, asked.format,
            asked.accuracy,
        )
    )  # fmt: skip


COMMANDS = {
    "audit": _audit, "show": _show, "generate": _generate, "demo": _demo, "train": _train, "evaluate": _evaluate,
    "predict": _predict, "detect": _detect,
}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
