"""Check of the interactions: preprocess can read them; and the size of the data set that it makes of them."""

from __future__ import annotations

from ncf.data.event_settings import EventSettings
from ncf.data.preparation import Settings, prepare
from ncf.data.reading_settings import ReadingSettings
from ncf.data.release import names_to_read, release_files
from ncf.data.release_preparation import prepare_release
from ncf.forecast.size import DataSize, size_of
from ncf.forecast.text import data_line
from ncf.operators.checks.check import Check
from ncf.parameters import Parameters
from ncf.storage import local_copy


class DataCheck:
    """The check of interactions, by the reader of preprocess.

    Args:
        location: path or S3 URI of a file or folder.
        chosen: with the parameters of :class:`ReadingSettings` and :class:`EventSettings`.

    Attributes:
        size: of the data set that preprocess makes of them; None before the check, and if it fails.
    """

    def __init__(self, location: str, chosen: Parameters) -> None:
        self._location = location
        names = {*ReadingSettings.model_fields, *EventSettings.model_fields}
        self._settings = Settings(**{name: getattr(chosen, name) for name in names})
        self.size: DataSize | None = None

    def check(self, name: str) -> Check:
        """The check. S3 is called by the identity of this process."""
        return Check(name, self._read, needs_credentials=False)

    def _read(self) -> str:
        with local_copy(self._location, names_to_read) as path:
            files = release_files(path)
            prepared = prepare_release(files, self._settings) if files else prepare(path, self._settings)
        self.size = size_of(prepared.dataset, prepared.profile.rows)
        return data_line(self.size)
