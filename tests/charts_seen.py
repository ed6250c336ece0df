"""What a browser sees of the charts of a report: labels that cover each other, marks, lines."""

import json
import re

import browser

# What a browser sees in all charts: texts that cover each other, texts that leave their chart, marks by role.
PROBE = """<script>
const seen = () => [...document.querySelectorAll(".chart svg")].map(svg => {
  const edge = svg.getBoundingClientRect(), texts = [...svg.querySelectorAll("text")].filter(t => t.textContent && getComputedStyle(t).opacity > 0);
  const boxes = texts.map(t => [t.textContent, t.getBoundingClientRect()]);
  const covers = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 0.5 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 0.5;
  return { chart: svg.closest(".chart").id, texts: boxes.map(b => b[0]), marks: svg.querySelectorAll("path[aria-roledescription]").length,
    lines: svg.querySelectorAll(".mark-line path").length,
    faint: [...svg.querySelectorAll(".mark-line path, .mark-symbol path")].filter(p => p.getAttribute("opacity") === "0.12").length,
    covered: boxes.flatMap(([t, a], i) => boxes.slice(i + 1).filter(([, b]) => covers(a, b)).map(([u]) => [t, u])),
    cut: boxes.filter(([, a]) => a.left < edge.left - 1 || a.right > edge.right + 1
      || a.top < edge.top - 1 || a.bottom > edge.bottom + 1).map(b => b[0]) };
});
const settle = async () => { await Promise.all(views.map(({ view }) => view.runAsync())); return seen(); };
const wait = setInterval(async () => {
  if (!document.body.dataset.ready) return;
  clearInterval(wait);
  const steps = { start: seen() };
  STEPS
  const out = document.createElement("pre");
  out.id = "probe"; out.textContent = JSON.stringify(steps);
  document.body.append(out);
}, 20);
</script>"""


def dom(address, profile, milliseconds, until):
    """The document once its scripts have run, which said nothing on the console."""
    text, console = browser.opened(address, profile, until=until, milliseconds=milliseconds)
    assert console == []
    return text


def probed(page, steps=""):
    """What the page shows at the start and after each of some steps, as a browser has it."""
    probing = page.with_name("probing.html")
    probing.write_text(page.read_text() + PROBE.replace("STEPS", steps))
    text = dom(probing.as_uri(), page.with_name("profile"), milliseconds=6000, until='<pre id="probe">')
    found = re.search(r'<pre id="probe">(.*?)</pre>', text, re.DOTALL)
    assert found, "the page was not drawn"
    return json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
