"""Which class list the ids of a YOLO label file count in.

Decides by folder: a list of names that lies beside labels (`classes.txt`, `obj.names`) counts for that folder alone,
any other list for everything below its folder, the nearest first; a list that lies nowhere above counts where it is the
only one. Refuses two lists that say different things of the same labels, and labels that no list counts for.

    lists = find_lists(source) names_for(["day1/a.txt", "day2/a.txt"], lists, configured=(),
    where="photos")["day2/a.txt"].names   # ('nut',)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from edgewright.data.formats.annotation import MAX_LABEL_BYTES, read_yaml_as_written
from edgewright.data.formats.text import text_lines
from edgewright.data.formats.yolo_kinds import TASKS, Declared
from edgewright.data.sources import Source, Unusable
from edgewright.errors import SourceError

_NAME_FILES = ("classes.txt", "_classes.txt", "predefined_classes.txt", "_darknet.labels")
_NEXT = "keep the list that the labels were made with"


@dataclass(frozen=True)
class ClassList:
    """Attributes: file: where it stands; names: by class id; declared: what the same file says of the labels."""

    file: str
    names: tuple[str, ...]
    declared: Declared = field(default_factory=Declared)

    @property
    def folder(self) -> str:
        return PurePosixPath(self.file).parent.as_posix()


def is_name_file(name: str) -> bool:
    path = PurePosixPath(name)
    return path.name.lower() in _NAME_FILES or path.suffix.lower() == ".names"


def find_lists(source: Source) -> list[ClassList]:
    """Every class list of a source. Raises SourceError where one cannot be read."""
    found = [read_yaml_list(source, file) for file in source.named(".yaml", ".yml")]
    named = [_read_name_file(source, file) for file in source.files if is_name_file(file)]
    return [one for one in [*found, *named] if one is not None]


def read_yaml_list(source: Source, file: str) -> ClassList | None:
    """`names: [a, b]` or `names: {0: a, 1: b}`, with `task` and `kpt_shape`; None where it names no classes."""
    document = read_yaml_as_written(source.read(file, max_bytes=MAX_LABEL_BYTES), where=file)
    if not isinstance(document, dict) or "names" not in document:
        return None
    names = _yaml_names(document["names"], file)
    n_classes = document.get("nc")
    if isinstance(n_classes, str) and n_classes.isdecimal() and int(n_classes) != len(names):
        raise SourceError("`nc` and `names` differ", expected=f"{n_classes} names", got=", ".join(names), where=file)
    task = str(document.get("task", "")).strip().lower()
    return ClassList(file, names, Declared(task if task in TASKS else "", _kpt_shape(document.get("kpt_shape"), file)))


def names_for(
    label_files: Iterable[str], lists: Sequence[ClassList], *, configured: tuple[str, ...], where: str
) -> dict[str, ClassList]:
    """Label file => the list that its ids count in. Raises SourceError: none, or two that contradict each other."""
    files = list(label_files)
    folders = {PurePosixPath(file).parent.as_posix() for file in files}
    beside = {one.file for one in lists if is_name_file(one.file) and one.folder in folders}
    chosen = {folder: _list_for(folder, lists, beside) for folder in sorted(folders)}
    loose = [one for one in lists if one.file not in beside]
    given = ClassList("ingest.classes", configured) if configured else None
    for folder, one in chosen.items():
        chosen[folder] = one or (reconcile(loose) if loose else given)
    missing = [folder for folder, one in chosen.items() if one is None]
    if missing:
        raise _without_names(missing, beside, where)
    return {file: one for file in files if (one := chosen[PurePosixPath(file).parent.as_posix()])}


def reconcile(lists: Sequence[ClassList]) -> ClassList:
    """Lists that say the same, or of which the longer ones go on where others end. Raises SourceError for others."""
    longest = max(lists, key=lambda one: len(one.names))
    for one in lists:
        if one.names != longest.names[: len(one.names)]:
            raise SourceError(
                "two class lists for the same labels",
                expected="one order of names",
                got=" and ".join(f"{each.file}: [{', '.join(each.names)}]" for each in (one, longest)),
                next_step=_NEXT,
            )
    files = ", ".join(sorted({one.file for one in lists}))
    declared = next((one.declared for one in lists if one.declared != Declared()), Declared())
    return replace(longest, file=files, declared=declared)


def _list_for(folder: str, lists: Sequence[ClassList], beside: set[str]) -> ClassList | None:
    """What lies in the folder or above it: the nearest YAML file and the nearest list of names must agree."""
    above = [folder, *(parent.as_posix() for parent in PurePosixPath(folder).parents)]
    counting = [one for one in lists if one.folder in above and (one.file not in beside or one.folder == folder)]
    nearest: list[ClassList] = []
    for kind in (True, False):
        same = [one for one in counting if is_name_file(one.file) is kind]
        depth = max((len(one.folder) for one in same if one.folder != "."), default=0)
        nearest += [one for one in same if (len(one.folder) if one.folder != "." else 0) == depth]
    return reconcile(nearest) if nearest else None


def _without_names(folders: Sequence[str], beside: set[str], where: str) -> SourceError:
    others = f"; {', '.join(sorted(beside)[:3])} counts for its own folder" if beside else ""
    return SourceError(
        "YOLO labels without class names",
        expected="data.yaml with `names` above them, or classes.txt beside them",
        got=f"labels in {', '.join(folders[:3])}{others}",
        where=where,
        next_step="--set ingest.classes='[a, b]'",
    )


def _read_name_file(source: Source, file: str) -> ClassList | None:
    """A name a line; a blank line between names would be a class without a name."""
    try:
        lines = [line.strip() for line in text_lines(source.read(file, max_bytes=MAX_LABEL_BYTES))]
    except Unusable as error:
        raise SourceError("not a class list", got=error, where=file, next_step="save it as UTF-8 text") from error
    names = "\n".join(lines).strip("\n").split("\n")
    if "" in names and len(names) > 1:
        raise SourceError("a class list with a blank line between names", where=file, next_step="name it or delete it")
    return ClassList(file, tuple(names)) if names != [""] else None


def _yaml_names(value: object, file: str) -> tuple[str, ...]:
    if isinstance(value, Mapping) and {str(key) for key in value} == {str(index) for index in range(len(value))}:
        value = [value[str(index)] for index in range(len(value))]
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise SourceError("`names` is not a class list", expected="[a, b] or {0: a, 1: b}", where=file)
    return tuple(value)


def _kpt_shape(value: object, file: str) -> tuple[int, int] | None:
    if value in (None, "", "null", "~"):
        return None
    if (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(word, str) and word.isdecimal() for word in value)
    ):
        keypoints, numbers = int(value[0]), int(value[1])
        if numbers in (2, 3) and keypoints > 0:
            return keypoints, numbers
    raise SourceError("`kpt_shape` is not a shape", expected="[keypoints, 2 or 3]", got=value, where=file)
