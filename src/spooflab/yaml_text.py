"""YAML as plain data: the safe loader, with limits, text keys that come once, and no aliases that grow."""

from typing import Any

import yaml

MAX_BYTES = 4_000_000
MAX_NODES = 200_000
"""Of scalars, lists and mappings, each alias counted as all that it stands for."""
MAX_DEPTH = 64
_BIGGEST_INT = 2**64
_TEXT, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"


def parse_yaml(text: str) -> Any:
    """Return the one document of `text`.

    Raises:
        ValueError: not YAML; a tag that makes anything but plain data; a key that is no text or comes twice in one
            mapping; a number beyond 64 bits; a date that does not exist; or more of it than a configuration needs.
    """
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    except (OverflowError, RecursionError) as error:
        raise ValueError(f"a number or a nesting beyond every limit ({type(error).__name__})") from error


class _Loader(yaml.SafeLoader):
    """Checks each node when it is composed, before anything is made of it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._weights: dict[int, tuple[int, int]] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        alias = self.check_event(yaml.AliasEvent)
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # of the stubs
        self._depth += 1
        if self._depth > MAX_DEPTH:  # before the loader's own recursion, or its quadratic search for keys, gets deep
            raise _refused(f"nested more than {MAX_DEPTH} deep", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is None:
            return None
        if alias and id(node) not in self._weights:
            raise _refused("an alias within what it stands for", mark)
        if not alias:
            self._weights[id(node)] = self._weigh(node)
        count, height = self._weights[id(node)]
        if count > MAX_NODES or self._depth + height > MAX_DEPTH:
            raise _refused(f"more than {MAX_NODES} values, or aliases nested more than {MAX_DEPTH} deep", mark)
        return node

    def _weigh(self, node: yaml.Node) -> tuple[int, int]:
        """Return how many values a node stands for, and how deep they are nested; check a mapping's keys."""
        if isinstance(node, yaml.ScalarNode):
            return 1, 1
        if isinstance(node, yaml.MappingNode):
            _check_keys(node)
            parts = [part for pair in node.value for part in pair]
        else:
            parts = list(node.value)
        weights = [self._weights[id(part)] for part in parts]
        return 1 + sum(count for count, _ in weights), 1 + max((height for _, height in weights), default=0)


def _check_keys(node: yaml.MappingNode) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if key.tag == _MERGE:
            continue
        if key.tag != _TEXT or not isinstance(key, yaml.ScalarNode):
            shown = f"{key.value!r:.40}" if isinstance(key, yaml.ScalarNode) else "a list or mapping"
            raise _refused(f"key {shown} is no text; quote it where it is meant as text", key.start_mark)
        if key.value in seen:
            raise _refused(f"key {key.value!r:.80} comes twice", key.start_mark)
        seen.add(key.value)


def _whole_number(loader: _Loader, node: yaml.ScalarNode) -> int:
    value = int(yaml.SafeLoader.construct_yaml_int(loader, node))
    if abs(value) >= _BIGGEST_INT:
        raise _refused("a whole number beyond 64 bits", node.start_mark)
    return value


def _refused(what: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=what, problem_mark=mark)


_Loader.add_constructor("tag:yaml.org,2002:int", _whole_number)
