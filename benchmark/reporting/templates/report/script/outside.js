// Figures that stand open from the beginning.
for (const part of $$("details.figures[open]")) $$("img[data-packed]", part).forEach(unpack);
