"""Protocols: how an index is cut into folds so that each test asks about something that training never saw.

Subjects are split once, by groups among which donors are drawn, with a seed that knows nothing of algorithms: every
algorithm and every fold judges the same test subjects.
"""

from typing import Annotated

from pydantic import Field

from spooflab.experiments.index_columns import by_key, column
from spooflab.experiments.protocols.cross_dataset import CrossDataset
from spooflab.experiments.protocols.leave_one_attack_and_device_out import LeaveOneAttackAndDeviceOut
from spooflab.experiments.protocols.leave_one_attack_out import LeaveOneAttackOut
from spooflab.experiments.protocols.leave_one_device_out import LeaveOneDeviceOut
from spooflab.experiments.protocols.leave_one_domain_out import LeaveOneDomainOut
from spooflab.experiments.protocols.leave_one_instrument_out import LeaveOneInstrumentOut
from spooflab.experiments.protocols.official import Official
from spooflab.experiments.protocols.protocol import StudyProtocol
from spooflab.experiments.protocols.random_subjects import RandomSubjects
from spooflab.experiments.protocols.subject_split import SubjectSplit
from spooflab.experiments.protocols.synthetic_to_real import SyntheticToReal

__all__ = [
    "PROTOCOLS",
    "AnyProtocol",
    "CrossDataset",
    "LeaveOneAttackAndDeviceOut",
    "LeaveOneAttackOut",
    "LeaveOneDeviceOut",
    "LeaveOneDomainOut",
    "LeaveOneInstrumentOut",
    "Official",
    "RandomSubjects",
    "StudyProtocol",
    "SubjectSplit",
    "SyntheticToReal",
    "by_key",
    "column",
]

AnyProtocol = Annotated[
    LeaveOneAttackOut
    | LeaveOneDeviceOut
    | LeaveOneInstrumentOut
    | LeaveOneAttackAndDeviceOut
    | LeaveOneDomainOut
    | CrossDataset
    | RandomSubjects
    | SyntheticToReal
    | Official,
    Field(discriminator="name"),
]
PROTOCOLS: dict[str, type[AnyProtocol]] = {
    kind.model_fields["name"].default: kind
    for kind in (
        LeaveOneAttackOut,
        LeaveOneDeviceOut,
        LeaveOneInstrumentOut,
        LeaveOneAttackAndDeviceOut,
        LeaveOneDomainOut,
        CrossDataset,
        RandomSubjects,
        SyntheticToReal,
        Official,
    )
}
