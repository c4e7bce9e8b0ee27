"""How the page looks: one palette, one scale of type, one unit of space; page.css builds on them.

Paper and ultramarine, as a limner had them, and vermilion for what went wrong. Fonts are the
system's own, so that nothing is asked of any other host.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import gradio

__all__ = ["SCRIPT", "STYLE", "script", "theme"]

STYLE = Path(__file__).with_name("page.css")
SCRIPT = Path(__file__).with_name("page.js")

_FONT = (
    "system-ui",
    "-apple-system",
    "Segoe UI",
    "Roboto",
    "Noto Sans",
    "DejaVu Sans",
    "sans-serif",
)
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")
# Gradio's names for colours, by day and by night.
_COLOURS = {
    "body_background_fill": ("#f6f4ef", "#161512"),
    "background_fill_primary": ("#fffefb", "#1f1d19"),
    "background_fill_secondary": ("#efece4", "#29261f"),
    "body_text_color": ("#211f1a", "#ece8de"),
    "body_text_color_subdued": ("#67625a", "#a8a193"),
    "border_color_primary": ("#ddd8cc", "#3a362d"),
    "border_color_accent": ("#2f47b0", "#9db0ff"),
    "color_accent_soft": ("#e7e9f7", "#2a2e47"),
    "link_text_color": ("#2f47b0", "#9db0ff"),
    "link_text_color_hover": ("#22358a", "#c3ceff"),
    "link_text_color_visited": ("#2f47b0", "#9db0ff"),
    "link_text_color_active": ("#2f47b0", "#9db0ff"),
    "error_background_fill": ("#fbeae4", "#3a201a"),
    "error_border_color": ("#b03a1e", "#ff9d85"),
    "error_text_color": ("#9a3015", "#ffab96"),
    "input_background_fill": ("#fffefb", "#1a1815"),
    "input_background_fill_focus": ("#fffefb", "#1a1815"),
    "input_border_color": ("#cfc9bb", "#474236"),
    "input_border_color_focus": ("#2f47b0", "#9db0ff"),
    "input_placeholder_color": ("#7b756a", "#8f8879"),
    "block_background_fill": ("transparent", "transparent"),
    "block_label_background_fill": ("transparent", "transparent"),
    "block_title_text_color": ("#211f1a", "#ece8de"),
    "block_info_text_color": ("#67625a", "#a8a193"),
    "block_label_text_color": ("#67625a", "#a8a193"),
    "panel_background_fill": ("#fffefb", "#1f1d19"),
    "button_primary_background_fill": ("#2f47b0", "#9db0ff"),
    "button_primary_background_fill_hover": ("#22358a", "#b7c5ff"),
    "button_primary_border_color": ("#2f47b0", "#9db0ff"),
    "button_primary_border_color_hover": ("#22358a", "#b7c5ff"),
    "button_primary_text_color": ("#ffffff", "#14162a"),
    "button_secondary_background_fill": ("#fffefb", "#29261f"),
    "button_secondary_background_fill_hover": ("#efece4", "#353128"),
    "button_secondary_text_color": ("#211f1a", "#ece8de"),
    "button_secondary_border_color": ("#cfc9bb", "#474236"),
    "slider_color": ("#2f47b0", "#9db0ff"),
    "checkbox_background_color": ("#fffefb", "#1a1815"),
    "checkbox_background_color_selected": ("#2f47b0", "#5f78e6"),
    "checkbox_border_color": ("#a9a294", "#6a6456"),
    "checkbox_border_color_selected": ("#2f47b0", "#5f78e6"),
    "checkbox_label_background_fill": ("transparent", "transparent"),
    "checkbox_label_background_fill_hover": ("#efece4", "#29261f"),
    "checkbox_label_background_fill_selected": ("#e7e9f7", "#2a2e47"),
    "checkbox_label_text_color": ("#211f1a", "#ece8de"),
    "checkbox_label_text_color_selected": ("#22358a", "#c3ceff"),
    "checkbox_label_border_color": ("#cfc9bb", "#474236"),
    "checkbox_label_border_color_selected": ("#2f47b0", "#9db0ff"),
}
_SHAPES = {
    "color_accent": "*border_color_accent",
    "block_border_width": "0px",
    "block_padding": "0px",
    "block_shadow": "none",
    "block_shadow_dark": "none",
    "block_title_text_size": "*text_sm",
    "block_title_text_weight": "600",
    "block_title_padding": "0",
    "block_info_text_size": "*text_xs",
    "button_large_radius": "8px",
    "button_medium_radius": "8px",
    "button_small_radius": "8px",
    "button_large_text_weight": "600",
    "button_medium_text_weight": "500",
    "button_primary_shadow": "none",
    "button_secondary_shadow": "none",
    "button_transition": "background-color 120ms ease",
    "checkbox_shadow": "none",
    "input_border_width": "1px",
    "input_padding": "8px 12px",
    "input_radius": "8px",
    "input_shadow": "none",
    "input_shadow_focus": "0 0 0 3px *color_accent_soft",
    "input_text_size": "*text_md",
    "layout_gap": "16px",
    "form_gap_width": "0px",
    "container_radius": "8px",
}


def theme() -> gradio.themes.Base:
    """Gradio's theme of these colours, by day and by night."""
    import gradio as gr

    sizes = gr.themes.Size(
        name="limner", xxs="11px", xs="12px", sm="13px", md="14px", lg="16px", xl="20px", xxl="28px"
    )
    base = gr.themes.Base(
        text_size=sizes,
        font=_FONT,
        font_mono=_MONO,
        radius_size=gr.themes.sizes.radius_md,
        spacing_size=gr.themes.sizes.spacing_md,
    )
    said: dict[str, Any] = dict(_SHAPES)
    for name, (day, night) in _COLOURS.items():
        said |= {name: day, f"{name}_dark": night}
    return base.set(**said)


def script(name: str = "page.js") -> str:
    """A file of the page's own JavaScript, as text."""
    return SCRIPT.with_name(name).read_text(encoding="utf-8")
