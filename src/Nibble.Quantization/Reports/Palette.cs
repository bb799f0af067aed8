namespace Nibble.Quantization.Reports;

/// <summary>The look of the page. Colours are after Okabe and Ito, which those who see few colours can tell apart too.</summary>
internal static class Palette
{
    /// <summary>Classes c0, c1, ... of series.</summary>
    public const int Colors = 8;

    public const string Style = """
        :root { color-scheme: light dark; --back: #fff; --text: #1c1f23; --soft: #5b6470; --rule: #d9dde3; --panel: #f6f7f9; --heat: #c2410c;
          --c0: #0072b2; --c1: #c25400; --c2: #00795c; --c3: #b0508a; --c4: #7a6a00; --c5: #2f7fb5; --c6: #8a3ffc; --c7: #6b7280; }
        @media (prefers-color-scheme: dark) { :root { --back: #14171b; --text: #e6e8eb; --soft: #9aa4b2; --rule: #333a44; --panel: #1d2127; --heat: #fb923c;
          --c0: #56b4e9; --c1: #f0924a; --c2: #2bc79a; --c3: #e08fc0; --c4: #e0cc3c; --c5: #9bd0f0; --c6: #b794ff; --c7: #a9b1bd; } }
        * { box-sizing: border-box; }
        body { margin: 0 auto; padding: 1.25rem 1rem 3rem; max-width: 76rem; background: var(--back); color: var(--text);
          font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
        h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .4rem; } h3 { font-size: 1rem; margin: .2rem 0 .3rem; overflow-wrap: anywhere; }
        p { margin: .3rem 0 .8rem; max-width: 48rem; } .soft, figcaption { color: var(--soft); font-size: .9rem; }
        .wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
        th, td { padding: .3rem .7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--rule); } th { color: var(--soft); font-weight: 600; }
        th:first-child, td:first-child { text-align: left; padding-left: 0; } td.best { font-weight: 700; }
        .charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); gap: 1rem; }
        figure { margin: 0; padding: .7rem; background: var(--panel); border-radius: .5rem; min-width: 0; } svg { display: block; width: 100%; height: auto; }
        svg text { fill: var(--text); font-size: 13px; } svg .tick { fill: var(--soft); font-size: 12px; } svg .tick-size { font-size: 12px; } svg text.over { fill: var(--panel); } svg .title { fill: var(--soft); }
        svg .middle { text-anchor: middle; } svg .end { text-anchor: end; } .grid { stroke: var(--rule); } .axis { stroke: var(--soft); }
        polyline { fill: none; stroke-width: 2; } .front { stroke: var(--soft); stroke-dasharray: 5 4; stroke-width: 1.5; } .theirs { stroke: var(--heat); stroke-width: 1.5; } .cross { stroke: var(--heat); stroke-width: 1.6; fill: none; } .mark { stroke: var(--panel); stroke-width: 1.2; }
        .bars { fill: var(--soft); opacity: .45; } .level { stroke: var(--c0); stroke-width: 1.2; } .tip { fill: var(--c0); } .heat { fill: var(--heat); }
        .c0 { fill: var(--c0); } .c1 { fill: var(--c1); } .c2 { fill: var(--c2); } .c3 { fill: var(--c3); } .c4 { fill: var(--c4); } .c5 { fill: var(--c5); } .c6 { fill: var(--c6); } .c7 { fill: var(--c7); }
        polyline.c0 { stroke: var(--c0); fill: none; } polyline.c1 { stroke: var(--c1); fill: none; } polyline.c2 { stroke: var(--c2); fill: none; } polyline.c3 { stroke: var(--c3); fill: none; }
        polyline.c4 { stroke: var(--c4); fill: none; } polyline.c5 { stroke: var(--c5); fill: none; } polyline.c6 { stroke: var(--c6); fill: none; } polyline.c7 { stroke: var(--c7); fill: none; }
        .legend { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: .2rem 0 .7rem; padding: 0; list-style: none; font-size: .9rem; } .legend svg { display: inline-block; width: 14px; height: 14px; vertical-align: -2px; margin-right: .35rem; }
        @media (max-width: 30rem) { svg text { font-size: 16px; } svg .tick, svg .tick-size { font-size: 15px; } }
        summary { cursor: pointer; } details { margin: .5rem 0; }
        @media print { :root { color-scheme: light; --back: #fff; --text: #000; --soft: #444; --rule: #ccc; --panel: #fff; --heat: #c2410c;
          --c0: #0072b2; --c1: #c25400; --c2: #00795c; --c3: #b0508a; --c4: #7a6a00; --c5: #2f7fb5; --c6: #8a3ffc; --c7: #6b7280; }
          body { max-width: none; padding: 0; font-size: 12px; } figure { break-inside: avoid; border: 1px solid var(--rule); } h2 { break-after: avoid; }
          * { -webkit-print-color-adjust: exact; print-color-adjust: exact; } }
        """;
}
