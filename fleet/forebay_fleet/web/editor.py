"""An editor of a configuration's files, for the pages that have one.

Owns the widget. Must not know what becomes of the files.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from nicegui import ui

from forebay_fleet.desired import folder
from forebay_fleet.web.pieces import card

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nicegui.events import UploadEventArguments

    from forebay_fleet.rollouts.templates import Fault
    from forebay_fleet.web.frame import View

MOST_EDITED_BYTES = 256 << 10
"""A larger file, or one that is no text, is only listed."""
MOST_UPLOADED_BYTES = 8 << 20
THEMES: dict[str, Literal["githubDark"]] = {"dark": "githubDark"}


class Editor:
    """Files in memory, one of them open. `contents` gives them as they are now."""

    def __init__(self, view: View, contents: Mapping[str, bytes]) -> None:
        """Draw it."""
        self._view, self._files = view, dict(contents)
        self._files.setdefault(folder.MAIN, b"")
        self._open = folder.MAIN
        with ui.element("div").classes("fb-bar"):
            self._select = ui.select(sorted(self._files), value=self._open)
            self._select.props("outlined dense").classes("fb-find")
            self._select.props["aria-label"] = view.t("editor.file")
            self._select.on_value_change(lambda event: self._show(event.value))
            upload = ui.upload(
                label=view.t("editor.upload"),
                auto_upload=True,
                multiple=True,
                max_file_size=MOST_UPLOADED_BYTES,
                on_upload=self._uploaded,
            )
            upload.props("flat dense").classes("fb-upload")
        self._text = ui.codemirror(
            self._readable(self._open),
            language="TOML",
            theme=THEMES.get(view.theme, "githubLight"),
            line_wrapping=True,
        ).classes("fb-editor")
        if view.theme == "auto":
            ui.timer(0.0, self._follow_system, once=True)

    async def _follow_system(self) -> None:
        """Ask the browser whether it is dark; one that is gone does not answer."""
        with suppress(TimeoutError):
            if await ui.run_javascript("Quasar.Dark.isActive", timeout=10.0):
                self._text.theme = THEMES["dark"]

    @property
    def contents(self) -> dict[str, bytes]:
        """The files as they are now."""
        self._keep()
        return dict(self._files)

    def _keep(self) -> None:
        if self._is_text(self._open):
            self._files[self._open] = (self._text.value or "").encode()

    def _show(self, path: str) -> None:
        self._keep()
        self._open = path
        self._text.value = self._readable(path)
        self._text.set_enabled(self._is_text(path))

    def _is_text(self, path: str) -> bool:
        data = self._files.get(path, b"")
        if len(data) > MOST_EDITED_BYTES or b"\0" in data:
            return False
        try:
            data.decode()
        except UnicodeDecodeError:
            return False
        return True

    def _readable(self, path: str) -> str:
        data = self._files[path]
        if self._is_text(path):
            return data.decode()
        return self._view.t("editor.binary", size=f"{len(data):,}")

    async def _uploaded(self, event: UploadEventArguments) -> None:
        if event.file.size() > MOST_UPLOADED_BYTES or len(self._files) >= folder.MAX_FILES:
            return
        self._keep()
        self._files[event.file.name] = await event.file.read()
        self._select.set_options(sorted(self._files))
        if event.file.name == self._open:
            self._text.value = self._readable(self._open)


class Findings:
    """What is wrong, and what differs, below an editor."""

    def __init__(self, view: View) -> None:
        """Draw nothing yet."""
        self._t = view.t
        with card() as element:
            self._wrong = ui.element("div")
            self._diff = ui.element("pre").classes("fb-diff")
        element.props["data-part"] = "findings"
        self._element = element
        element.set_visibility(False)

    def show(
        self,
        faults: Iterable[tuple[str, Fault]],
        absent: Iterable[str],
        doubts: Iterable[Fault] = (),
    ) -> None:
        """Show what is wrong, for whom, and what a box will most likely refuse."""
        self._element.set_visibility(True)
        self._wrong.clear()
        with self._wrong:
            none = True
            for box, fault in faults:
                none = False
                where = f"{box}: {fault.path}" if box else fault.path
                with ui.element("div").classes("fb-alarm"):
                    ui.icon("error")
                    ui.label(f"{where}: {fault.message}")
                    ui.label(fault.hint).classes("fb-muted")
            for doubt in doubts:
                none = False
                with ui.element("div").classes("fb-alarm"):
                    ui.icon("help")
                    ui.label(f"{self._t('editor.doubt')} {doubt.path}: {doubt.message}")
                    ui.label(doubt.hint).classes("fb-muted")
            if none:
                with ui.element("div").classes("fb-sound"):
                    ui.icon("check_circle")
                    ui.label(self._t("editor.sound"))
            for path in absent:
                ui.label(self._t("editor.absent", path=path)).classes("fb-muted")

    def show_diff(self, lines: list[str]) -> None:
        """Show what differs from what the box was told last."""
        tones = {"+": "fb-added", "-": "fb-taken", "@": "fb-muted"}
        self._diff.clear()
        with self._diff:
            for line in lines or [self._t("editor.same")]:
                ui.label(line or " ").classes(tones.get(line[:1], ""))
