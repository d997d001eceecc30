"""The source of faces that a configuration names."""

from spooflab.generators.config import FacesConfig, FolderFacesConfig, ProceduralFacesConfig
from spooflab.generators.face import FaceSource
from spooflab.generators.faces.folder import FolderFaces
from spooflab.generators.faces.hf import HFFaces
from spooflab.generators.faces.procedural import ProceduralFaces


def configured_faces(entry: FacesConfig, *, size: int, seed: int) -> FaceSource:
    """Open a source.

    Args:
        entry: its configuration.
        size: side in pixels at which faces are rendered or photographs aligned.
        seed: root of rendered people.

    Raises:
        ConfigError, DataError: see the source's class.
    """
    if isinstance(entry, ProceduralFacesConfig):
        return ProceduralFaces(n_subjects=entry.subjects, sessions=entry.sessions, size=size, seed=seed)
    options = entry.model_dump(exclude={"kind", "share", "consent"})
    kind = FolderFaces if isinstance(entry, FolderFacesConfig) else HFFaces
    return kind(**options, size=size)
