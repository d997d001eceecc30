"""CSV of others: a header whose names come once, rows as wide as it, and one kind of error for all that is not so."""

import csv
from io import StringIO

from spooflab.errors import DataError


def csv_table(text: str, where: object) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Return the header's names, stripped, and each row that is not empty with the number of its last line.

    Args:
        text: of the file; of an empty one there are neither names nor rows.
        where: names the file in errors.

    Raises:
        DataError: quotes that do not close, a name that comes twice in the header, or a row with more or fewer cells:
            a plain reader would take the rest of the file for one cell, drop a column, or leave cells out.
    """
    lines = csv.reader(StringIO(text, newline=""), strict=True)
    rows: list[tuple[int, dict[str, str]]] = []
    try:
        names = [name.strip() for name in next(lines, [])]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError(f"{where}: column {twice[0]!r:.80} comes twice", wanted="each column once")
        for cells in lines:
            if cells and len(cells) != len(names):
                raise DataError(
                    f"{where}: row {lines.line_num} has {len(cells)} cells, the header {len(names)} columns",
                    wanted="as many cells as columns, and quotes around a cell with a comma",
                )
            if cells:
                rows.append((lines.line_num, dict(zip(names, cells, strict=True))))
    except csv.Error as error:
        raise DataError(f"{where}: row {lines.line_num}: {error}", wanted="CSV text with a header") from error
    return names, rows
