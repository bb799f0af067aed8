"""Makes normalization.txt: python make.py UnicodeData.txt CompositionExclusions.txt (made from Unicode 15.0).

A line for every character that normalization touches: code;combining class;decomposition. "~" marks a decomposition for
compatibility only, "!" one that is never composed again. Hangul syllables are computed, so they are not here.
"""
import os, sys

excluded = {line.split()[0] for line in open(sys.argv[2], encoding="utf-8") if line[:1] not in "#\n"}
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "normalization.txt"), "w", encoding="ascii", newline="\n") as out:
    for line in open(sys.argv[1], encoding="utf-8"):
        code, _, _, combining, _, decomposition = line.split(";")[:6]
        if combining == "0" and not decomposition: continue
        mark = ""
        if decomposition.startswith("<"):
            mark, decomposition = "~", decomposition.split("> ")[1]
        elif code in excluded or (decomposition and " " not in decomposition):
            mark = "!"
        numbers = " ".join(f"{int(c, 16):X}" for c in decomposition.split())
        out.write(f"{int(code, 16):X};{combining if combining != '0' else ''};{mark}{numbers}\n")
