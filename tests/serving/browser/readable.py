"""Checks of a page's looks."""

from __future__ import annotations

from playwright.sync_api import Page

_CONTRAST = """() => {
  const parts = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = parts(getComputedStyle(node).backgroundColor);
      if (colour[3] !== 0) return colour;
    }
  };
  const texts = [...document.body.querySelectorAll("*")].filter(node => node.checkVisibility() &&
    [...node.childNodes].some(child => child.nodeType === 3 && child.textContent.trim()));
  return Math.min(...texts.map(node => {
    const [dark, bright] = [light(parts(getComputedStyle(node).color)), light(behind(node))].sort((a, b) => a - b);
    return (bright + .05) / (dark + .05);
  }));
}"""


def assert_readable(page: Page, width: int) -> None:
    """No sideways scrolling, and a contrast of 4.5 (WCAG 2.2, 1.4.3) of every text."""
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(_CONTRAST) >= 4.5
