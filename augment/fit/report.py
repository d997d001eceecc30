"""The fit as one self-contained HTML page: what was found, how sure it is, and the curves behind it. No script."""

from html import escape

import numpy as np
import numpy.typing as npt
import torch

from spooflab.augment.fit.beside import GROUPS, THIRDS
from spooflab.augment.fit.estimate import Estimate
from spooflab.augment.fit.fit import Fit
from spooflab.augment.fit.flat_blocks import BANDS, LEVELS
from spooflab.augment.tone import srgb_encode, tone_curve

_INK = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
_SHOWN = {"luma 2-2": "luma low", "luma 6-6": "luma high", "cb 2-2": "cb low", "cr 2-2": "cr low"}
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 420, 300, 46, 34
_UNCERTAIN = {"high": "#1f6f43", "medium": "#7a6a00", "low": "#8c2f1b", "none": "#8a8d94"}
_CSS = """
:root{--ink:#1d1d1f;--soft:#5c5f66;--line:#e3e1db;--paper:#fdfcfa}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,sans-serif}
main{max-width:960px;margin:0 auto;padding:48px 28px}
h1{font:600 1.9rem/1.2 Charter,Georgia,serif;margin:0 0 8px}
h2{font:600 1.3rem/1.3 Charter,Georgia,serif;margin:44px 0 8px}
p,li{max-width:46em}.soft{color:var(--soft)}table{border-collapse:collapse;width:100%;font-size:.88rem}
td,th{text-align:left;padding:5px 10px 5px 0;border-bottom:1px solid var(--line);vertical-align:top}
td.n{white-space:nowrap}figure{margin:18px 0;display:inline-block;vertical-align:top}
figcaption{font-size:.85rem;max-width:420px}
svg{background:#fff;border:1px solid var(--line);border-radius:8px}
svg text{font:11px system-ui,sans-serif}svg text:not([fill]){fill:#5c5f66}
b.tag{font-size:.78rem;font-weight:650}
"""
Points = npt.NDArray[np.float64]


def render_report(fit: Fit) -> str:
    """Return the page; every text that comes from files is escaped."""
    count = len(fit.photographs.photos)
    height, width = fit.photographs.size
    figures = [_noise_figure(fit), _beside_figure(fit), _tone_figure(fit), _falloff_figure(fit), _lines_figure(fit)]
    left_out = "".join(f"<li><code>{escape(n)}</code>: {escape(r)}</li>" for n, r in fit.photographs.left_out)
    remarks = "".join(f"<li>{escape(remark)}</li>" for remark in fit.remarks)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(fit.profile.name)}</title><style>{_CSS}</style><main>"
        f"<h1>{escape(fit.profile.name)}</h1>"
        f'<p class="soft">Fitted from {count} photographs of {width} × {height} pixels. What they do not tell is taken '
        f"from {escape(fit.prior)}. The unit most like the camera is {fit.unit}.</p><ul>{remarks}</ul>"
        f"<h2>What was found</h2>{_table(fit)}"
        f"<h2>What it rests on</h2>{''.join(figures)}"
        + (f"<h2>Files left out</h2><ul>{left_out}</ul>" if left_out else "")
        + "</main></html>\n"
    )


def _table(fit: Fit) -> str:
    codec = fit.profile.codec
    coded = f"{codec.quality[0]} – {codec.quality[1]}, {', '.join(codec.subsampling)}"
    told = escape(codec.source.split(". ")[0])
    rows = [f'<tr><td>codec.quality</td><td></td><td class="n">{escape(coded)}</td><td></td><td>{told}</td></tr>']
    rows += [_row(estimate, fit.prior) for estimate in fit.estimates]
    head = "<tr><th>parameter</th><th>value</th><th>range in the profile</th><th>confidence</th><th>how</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>"


def _row(estimate: Estimate, prior: str) -> str:
    tag = estimate.confidence
    how = estimate.how if estimate.fitted else f"prior {prior}, not identifiable: {estimate.how}"
    value = f"{estimate.value:.3g}" + (f" ± {estimate.std:.1g}" if estimate.fitted else "")
    return (
        f'<tr><td>{estimate.group}.{estimate.key}</td><td class="n">{value}</td>'
        f'<td class="n">{estimate.low:.3g} – {estimate.high:.3g}</td>'
        f'<td><b class="tag" style="color:{_UNCERTAIN[tag]}">{tag}</b></td><td>{escape(how)}</td></tr>'
    )


def _noise_figure(fit: Fit) -> str:
    if fit.noise is None:
        return ""
    seen, model = fit.noise.observed, fit.noise.simulated
    middle = (LEVELS[:-1] + LEVELS[1:]) / 2
    top, bottom = float(np.nanmax(seen)) + 0.3, float(np.nanmin(seen)) - 0.3
    parts = [_axes("code value", "log energy of the noise", (0.0, 1.0), (bottom, top))]
    for place, ((name, label), ink) in enumerate(zip(_SHOWN.items(), _INK, strict=True)):
        band = BANDS.index(name)
        x, y = _x(middle, 0, 1), _y(model[:, band], bottom, top)
        parts.append(_line(x, y, ink))
        for px, py in zip(x, _y(seen[:, band], bottom, top), strict=True):
            if np.isfinite(py):
                parts.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" fill="{ink}"/>')
        parts.append(f'<text x="{_WIDTH - 64}" y="{22 + 15 * place}" fill="{ink}">{label}</text>')
    note = f"Noise of flat blocks: dots measured, lines simulated (misfit {fit.noise.misfit:.2f}, 1 is ideal)."
    return _figure("".join(parts), note)


def _beside_figure(fit: Fit) -> str:
    if fit.noise is None or fit.noise.beside is None:
        return ""
    beside, ratios = fit.noise.beside, slice(0, GROUPS)
    ratio, error = beside.terms[ratios], np.sqrt(np.diag(beside.covariance))[ratios]
    model = ratio - fit.noise.found.beside[ratios]
    shown = np.flatnonzero(np.isfinite(ratio))
    if not len(shown):
        return ""
    top = float(np.nanmax(np.maximum(ratio + error, model))) + 0.1
    parts = [_axes("third of the sides, by brightness", "log variance near / far", (0, 4), (0, top))]
    for side, (name, ink) in enumerate((("dark sides", _INK[0]), ("bright sides", _INK[1]))):
        rows = shown[shown // THIRDS == side]
        x = _x(rows % THIRDS + 1, 0, 4)
        parts.append(_line(x, _y(model[rows], 0, top), ink))
        for px, row in zip(x, rows, strict=True):
            low, middle, high = _y(ratio[row] + error[row] * np.array([-1, 0, 1]), 0, top)
            parts.append(f'<path d="M{px:.1f} {low:.1f}V{high:.1f}" stroke="{ink}"/>')
            parts.append(f'<circle cx="{px:.1f}" cy="{middle:.1f}" r="3" fill="{ink}"/>')
        parts.append(f'<text x="{_WIDTH - 90}" y="{22 + 15 * side}" fill="{ink}">{name}</text>')
    note = f"Noise beside {beside.edges} edges, which noise reduction spares: dots measured, lines simulated."
    return _figure("".join(parts), note)


def _tone_figure(fit: Fit) -> str:
    values = {e.key: e for e in fit.estimates}
    light = torch.linspace(0, 1, 101)
    tone, gamma = values["tone"], values["gamma"]
    parts = [_axes("linear light", "code value", (0, 1), (0, 1))]
    for step, ink in ((-1, "#b9d3e6"), (1, "#b9d3e6"), (0, _INK[0])):
        spread = tone.std if tone.fitted else (tone.high - tone.low) / 2
        strength = min(1.0, max(0.0, tone.value + step * spread))
        code = tone_curve(
            srgb_encode(light)[None, None, None], tone=torch.tensor([strength]), gamma=torch.tensor([gamma.value])
        )
        parts.append(_line(_x(light.numpy(), 0, 1), _y(code[0, 0, 0].numpy(), 0, 1), ink))
    parts.append(_line(_x(light.numpy(), 0, 1), _y(srgb_encode(light).numpy(), 0, 1), "#8a8d94", dash="4 3"))
    return _figure("".join(parts), "Tone curve, with one standard error; dashed is plain sRGB.")


def _falloff_figure(fit: Fit) -> str:
    radius = np.linspace(0, 1, 60)
    gain = 1 / (1 + (fit.falloff.corner_gain**-0.5 - 1) * radius**2) ** 2
    parts = [_axes("radius, corner = 1", "illumination", (0, 1), (0, 1.05))]
    parts.append(_line(_x(radius, 0, 1), _y(gain, 0, 1.05), _INK[2]))
    note = f"Fall-off towards the corner: {fit.falloff.corner_gain:.2f} ± {fit.falloff.std:.2f}."
    return _figure("".join(parts), note)


def _lines_figure(fit: Fit) -> str:
    height, width = fit.photographs.size
    scale = (_WIDTH - 20) / max(width, height)
    parts = []
    for ink, chains in zip(_INK * (1 + len(fit.chains) // len(_INK)), fit.chains, strict=False):
        for chain in chains:
            thin = chain[:: max(1, len(chain) // 24)] * scale + 10
            parts.append(_line(thin[:, 0], thin[:, 1], ink, width=0.8))
    lens = fit.distortion
    told = f"edge displacement {100 * lens.edge:+.1f} ± {100 * lens.std:.1f} %" if not lens.reason else lens.reason
    share = 100 * lens.straight_share
    note = f"{lens.chains} long smooth edges of all photographs, {share:.0f} % straight together: {told}."
    return _figure("".join(parts), note, height=int(height * scale) + 20)


def _axes(x_name: str, y_name: str, x_range: tuple[float, float], y_range: tuple[float, float]) -> str:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - 10
    parts = [f'<path d="M{_LEFT} 10V{bottom}H{right}" fill="none" stroke="#8a8d94"/>']
    for share in (0, 0.25, 0.5, 0.75, 1):
        x, y = _LEFT + share * (right - _LEFT), bottom - share * (bottom - 10)
        x_value = x_range[0] + share * (x_range[1] - x_range[0])
        y_value = y_range[0] + share * (y_range[1] - y_range[0])
        parts.append(f'<text x="{x:.0f}" y="{bottom + 14}" text-anchor="middle">{x_value:.3g}</text>')
        parts.append(f'<text x="{_LEFT - 5}" y="{y + 4:.0f}" text-anchor="end">{y_value:.2g}</text>')
    parts.append(f'<text x="{(_LEFT + right) / 2}" y="{_HEIGHT - 6}" text-anchor="middle">{x_name}</text>')
    middle = bottom / 2
    parts.append(f'<text x="11" y="{middle}" text-anchor="middle" transform="rotate(-90 11 {middle})">{y_name}</text>')
    return "".join(parts)


def _x(value: Points, low: float, high: float) -> Points:
    place: Points = _LEFT + (np.asarray(value, np.float64) - low) / (high - low) * (_WIDTH - 10 - _LEFT)
    return place


def _y(value: Points, low: float, high: float) -> Points:
    bottom = _HEIGHT - _BOTTOM
    place: Points = bottom - (np.asarray(value, np.float64) - low) / (high - low) * (bottom - 10)
    return place


def _line(x: Points, y: Points, ink: str, *, dash: str = "", width: float = 1.8) -> str:
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True) if np.isfinite(a) and np.isfinite(b))
    style = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<polyline points="{points}" fill="none" stroke="{ink}" stroke-width="{width}"{style}/>'


def _figure(body: str, note: str, *, height: int = _HEIGHT) -> str:
    return (
        f'<figure><svg viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" role="img" '
        f'aria-label="{escape(note)}">{body}</svg><figcaption>{escape(note)}</figcaption></figure> '
    )
