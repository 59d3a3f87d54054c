"""Colours and fonts of the picture, for bright and for dark surroundings. Plain rules without CSS variables, which several
programs that turn SVG into other formats do not know."""

from __future__ import annotations

from typing import Final

PALETTE: Final = (
    ("#e4f1ff", "#0969da", "#11263d", "#58a6ff"),
    ("#f3eaff", "#8250df", "#261d3a", "#b48bfa"),
    ("#fff0e2", "#bc4c00", "#36210f", "#f0883e"),
    ("#dff6f2", "#0f766e", "#0f2b29", "#2dd4bf"),
    ("#ffebf5", "#bf3989", "#361b2c", "#f778ba"),
    ("#fbf5d0", "#8a6100", "#2e2810", "#d8a72c"),
    ("#e6f4dc", "#4d7c0f", "#1e2b12", "#a3e635"),
    ("#e8ecf2", "#475569", "#222a35", "#a3b1c6"),
)
"""Of plugins, in order of appearance: fill and line, bright; fill and line, dark."""

STATUS_COLOURS: Final = {
    "success": ("#dcf7e3", "#1a7f37", "#12291a", "#3fb950"),
    "failed": ("#ffe3e1", "#cf222e", "#3a1618", "#ff7b72"),
    "skipped": ("#eef0f2", "#6e7781", "#20252c", "#8b949e"),
    "cancelled": ("#fff4cf", "#9a6700", "#2f260d", "#d29922"),
}
"""Of steps in a run, the same way."""

FONT: Final = "system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif"
MONO: Final = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"


def style_sheet(plugins: int, *, has_statuses: bool) -> str:
    """The rules that a picture with so many plugins needs."""
    bright = [
        f"text{{font-family:{FONT};fill:#1f2328}}",
        ".bg{fill:#fff}",
        ".h{font-size:17px;font-weight:600}.n{font-size:12px}.t{font-size:13px;font-weight:600}",
        f".c{{font-family:{MONO};font-size:11px}}.m{{font-size:10.5px}}.l{{font-size:10.5px;font-weight:600}}.k{{font-size:11px}}",
        ".n,.c,.m,.k{fill:#57606a}",
        ".l{fill:#57606a}",
        ".e{fill:none;stroke:#8c959f;stroke-width:1.4}.a{fill:#8c959f}",
        ".conditional{stroke-dasharray:5 4}.skip{stroke-dasharray:1.5 3.5;stroke-linecap:round}",
        ".b{stroke-width:1.3}.must{stroke-width:2.6}",
        ".io{fill:#f6f8fa;stroke:#57606a}.if{fill:#fff;stroke:#57606a}",
        ".frame{fill:#fff;fill-opacity:.72;stroke:#afb8c1;stroke-dasharray:3 3}",
        ".s{fill:#fff;stroke:#8c959f}.off{opacity:.42}",
    ]
    dark = [
        "text{fill:#e6edf3}.bg{fill:#0d1117}.n,.c,.m,.k{fill:#9da7b3}.l{fill:#9da7b3}",
        ".e{stroke:#6e7681}.a{fill:#6e7681}.io{fill:#161b22;stroke:#9da7b3}.if{fill:#0d1117;stroke:#9da7b3}",
        ".frame{fill:#0d1117;stroke:#484f58}.s{fill:#0d1117;stroke:#6e7681}",
    ]
    named = {f"p{index}": PALETTE[index] for index in range(min(plugins, len(PALETTE)))}
    if has_statuses:
        named |= {f"is-{word}": colours for word, colours in STATUS_COLOURS.items()}
    for name, (fill, line, dark_fill, dark_line) in named.items():
        bright.append(f".{name}{{fill:{fill};stroke:{line}}}.{name}-bar{{fill:{line}}}")
        dark.append(f".{name}{{fill:{dark_fill};stroke:{dark_line}}}.{name}-bar{{fill:{dark_line}}}")
    return "\n".join(bright) + "\n@media (prefers-color-scheme:dark){\n" + "\n".join(dark) + "\n}"
