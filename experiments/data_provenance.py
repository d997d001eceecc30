"""What a data set is made of, in counts: species × devices, sources, licences, synthetic share, code, fingerprint."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa

from spooflab.experiments.protocols import column
from spooflab.experiments.run_spec import data_fingerprint


def describe_data(index: pa.Table, data: Path) -> dict[str, Any]:
    """Return the data set's provenance as JSON-ready counts."""
    species, device = column(index, "species").tolist(), column(index, "device_profile").tolist()
    pairs = Counter(zip(species, device, strict=True))
    return {
        "folder": str(data),
        "rows": len(species),
        "fingerprint": data_fingerprint(index),
        "species": dict(sorted(Counter(species).items())),
        "devices": dict(sorted(Counter(device).items())),
        "species_by_device": {s: {d: pairs[s, d] for d in sorted(set(device))} for s in sorted(set(species))},
        "subjects": len(set(column(index, "subject_id").tolist())),
        "subject_groups": len(set(column(index, "subject_group").tolist())),
        "instruments": len(set(column(index, "instrument_id").tolist()) - {""}),
        "device_units": len(set(column(index, "device_id").tolist())),
    } | {
        name: dict(sorted(Counter(column(index, name).tolist()).items()))
        for name in ("face_source", "licence", "synthetic", "digital_source_type", "generator", "code_version")
        if name in index.column_names
    }
