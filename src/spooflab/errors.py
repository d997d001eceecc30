"""The errors a user sees: what was seen, what was wanted, and what to do next."""


class SpooflabError(Exception):
    """A mistake in the input, the configuration or the environment, told so that it can be mended.

    Args:
        seen: what was found, naming the file, key or value.
        wanted: what would have been right.
        next_step: the command or the edit that helps, where one is known.
    """

    def __init__(self, seen: str, *, wanted: str = "", next_step: str = "") -> None:
        self.seen, self.wanted, self.next_step = seen, wanted, next_step
        lines = [seen]
        if wanted:
            lines.append(f"wanted: {wanted}")
        if next_step:
            lines.append(f"next: {next_step}")
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments are lost by the default reduction; worker processes send errors back.
        return (_rebuild, (type(self), self.seen, self.wanted, self.next_step))


class ConfigError(SpooflabError):
    """A configuration file or command line that cannot be used as it stands."""


class DataError(SpooflabError):
    """A data set, record or file that is missing, damaged or not what it says."""


class StoreUnreachable(DataError):
    """An object store that does not answer or refuses to: nothing is known of what lies there."""


class SkipSample(Exception):
    """A sample that cannot be made; it becomes a skip record with this reason code, never another sample.

    Args:
        reason: short code, `snake_case`, that reports count by (e.g. `no_landmarks`).
        detail: one sentence for a person.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason, self.detail = reason, detail
        super().__init__(reason, detail)


def _rebuild(cls: type[SpooflabError], seen: str, wanted: str, next_step: str) -> SpooflabError:
    return cls(seen, wanted=wanted, next_step=next_step)
