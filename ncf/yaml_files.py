"""Files of YAML that people write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

_MERGE = "tag:yaml.org,2002:merge"


def load(path: Path) -> Any:
    """The content of a file of YAML.

    Raises:
        ValueError: with the reason in words, if the file cannot be read or is no YAML, or if a key is given twice.
    """
    try:
        return yaml.load(path.read_text(), _Loader)
    except OSError as error:
        raise ValueError(error.strerror) from None
    except RecursionError:
        raise ValueError("too many levels") from None
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(" ".join(str(error).split())) from None


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Refuses a key that is given twice: YAML would take the last one."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        if isinstance(node, yaml.MappingNode):
            places = [key for key, _ in node.value if key.tag != _MERGE]
            keys = [self.construct_object(place, deep=True) for place in places]
            for key, place in zip(keys, places):
                if keys.count(key) > 1:
                    raise yaml.constructor.ConstructorError(None, None, f"'{key}' is given twice", place.start_mark)
        content: dict[Any, Any] = super().construct_mapping(node, deep)
        return content
