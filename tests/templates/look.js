// What a page is once it is laid out; evaluated in the browser, its value goes back to the test.
(() => {
  const colour = (text) => {
    const found = text.match(/[\d.]+/g).map(Number);
    return { r: found[0], g: found[1], b: found[2], a: found.length > 3 ? found[3] : 1 };
  };
  const over = (top, under) => ({
    r: top.r * top.a + under.r * (1 - top.a), g: top.g * top.a + under.g * (1 - top.a),
    b: top.b * top.a + under.b * (1 - top.a), a: 1,
  });
  const light = ({ r, g, b }) => {  // relative luminance, WCAG 2.1
    const [x, y, z] = [r, g, b].map((one) => {
      const part = one / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const probe = document.createElement("div");  // the canvas of this colour scheme, which no element names
  probe.style.backgroundColor = "Canvas";
  document.body.append(probe);
  const canvas = colour(getComputedStyle(probe).backgroundColor);
  probe.remove();
  const behind = (element) => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) layers.push(colour(getComputedStyle(one).backgroundColor));
    return layers.reverse().reduce((under, layer) => over(layer, under), canvas);
  };
  const contrast = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    if (!node.data.trim()) continue;
    const style = getComputedStyle(node.parentElement);
    const under = behind(node.parentElement);
    const [high, low] = [light(over(colour(style.color), under)), light(under)].sort((one, two) => two - one);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5) contrast.push({ words: node.data.trim(), ratio });
  }
  const cut = [...document.body.querySelectorAll("*")]
    .filter((one) => one.getBoundingClientRect().right > innerWidth + 0.5 || one.scrollWidth > one.clientWidth + 1
      && getComputedStyle(one).display !== "inline")
    .map((one) => one.tagName);
  return {
    language: document.documentElement.lang, title: document.title, text: document.body.innerText, contrast, cut,
    headings: [...document.querySelectorAll("h1,h2,h3,h4,h5,h6")].map((one) => Number(one.tagName[1])),
    scroll: document.documentElement.scrollWidth, canvas: light(canvas),
    links: [...document.querySelectorAll("a")].map((one) => [one.textContent, one.getAttribute("href")]),
  };
})()
