/// How the page looks.
///
/// Every pair of colours has a contrast of at least 4.5 to 1, in both schemes.
enum HTMLStyle {
    static let text = "\n" + colours + layout + parts + tables + drawing + narrow + paper

    private static let colours = """
        :root{color-scheme:light dark;--ground:#eceae4;--sheet:#fff;--ink:#17212b;--soft:#53606c;--rule:#d8d5cb;\
        --tint:#f6f4ef;--accent:#0b5660;--good:#155c37;--good-ground:#e7f2eb;--bad:#9c1c1c;--bad-ground:#fbeae8;\
        --open:#6f4a00;--open-ground:#fcf1d8;--told:#3a4753;--told-ground:#eaeef1;--on:#fff}
        @media (prefers-color-scheme:dark){:root{--ground:#0b1015;--sheet:#131a21;--ink:#e6eaee;--soft:#a5b0bb;\
        --rule:#2d3843;--tint:#1a232c;--accent:#78c9cf;--good:#86d6a8;--good-ground:#12301f;--bad:#ffa79d;\
        --bad-ground:#3d1815;--open:#f1c96f;--open-ground:#362907;--told:#c0cad4;--told-ground:#222d37;--on:#0b1015}}

        """

    private static let layout = """
        *{box-sizing:border-box}
        html{-webkit-text-size-adjust:100%}
        body{margin:0;background:var(--ground);color:var(--ink);\
        font:1rem/1.55 system-ui,"Segoe UI",Roboto,"Helvetica Neue",Arial,"DejaVu Sans",sans-serif}
        .sheet{max-width:66rem;margin:2rem auto;background:var(--sheet);border:1px solid var(--rule);\
        border-top:6px solid var(--accent);padding:3rem 4rem 2rem}
        h1,h2,h3,.word{font-family:"Iowan Old Style","Palatino Linotype",Palatino,"Book Antiqua",Georgia,\
        "DejaVu Serif",serif;line-height:1.2;font-weight:600}
        h1{font-size:2.4rem;margin:0 0 1.5rem;letter-spacing:-.01em}
        h2{font-size:1.55rem;margin:3.2rem 0 1.1rem;padding-bottom:.45rem;border-bottom:2px solid var(--ink)}
        h3{font-size:1.2rem;margin:0}
        h4{font-size:1rem;margin:0;font-weight:600;line-height:1.4}
        p{margin:.5rem 0}
        a{color:var(--accent);text-underline-offset:.15em}
        a:focus-visible,pre:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
        code,pre,.mono{font-family:ui-monospace,"Cascadia Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
        code{font-size:.86em;overflow-wrap:anywhere}
        .soft{color:var(--soft);font-weight:400}
        h3 .soft{font-family:system-ui,"Segoe UI",Roboto,"Helvetica Neue",Arial,"DejaVu Sans",sans-serif;font-size:.9rem}
        .skip{position:absolute;left:-99rem}
        .skip:focus{left:1rem;top:1rem;background:var(--sheet);padding:.5rem 1rem}
        footer{margin-top:3.5rem;padding-top:1rem;border-top:1px solid var(--rule);color:var(--soft);font-size:.88rem}
        nav ol{list-style:none;margin:1.8rem 0 0;padding:.8rem 0;border:solid var(--rule);border-width:1px 0;\
        display:flex;flex-wrap:wrap;gap:.3rem 1.6rem;font-size:.92rem}

        """

    private static let parts = """
        .eyebrow{margin:0 0 .4rem;color:var(--accent);font-size:.85rem;font-weight:600;letter-spacing:.12em;\
        text-transform:uppercase}
        .verdict{border:1px solid;border-left-width:8px;border-radius:3px;padding:1rem 1.4rem;margin:0 0 1.8rem}
        .verdict p{margin:.2rem 0;color:var(--ink)}
        .verdict .word{font-size:1.7rem}
        .verdict .mark{background:none;padding:0;font-size:inherit;border:0}
        .good{--tone:var(--good);--tone-ground:var(--good-ground)}
        .bad{--tone:var(--bad);--tone-ground:var(--bad-ground)}
        .open{--tone:var(--open);--tone-ground:var(--open-ground)}
        .told{--tone:var(--told);--tone-ground:var(--told-ground)}
        .verdict{border-color:var(--tone);background:var(--tone-ground)}
        .mark{display:inline-flex;align-items:baseline;gap:.4em;white-space:nowrap;font-size:.82rem;font-weight:600;\
        color:var(--tone);background:var(--tone-ground);border:1px solid;border-radius:3px;padding:.1em .6em}
        .sign{font-family:"DejaVu Sans","Segoe UI Symbol",sans-serif;font-weight:700}
        dl{margin:.8rem 0}
        dl div{display:grid;grid-template-columns:minmax(7rem,11.5rem) minmax(0,1fr);gap:0 1.2rem;padding:.22rem 0}
        dt{color:var(--soft);font-size:.88rem;padding-top:.08rem;overflow-wrap:anywhere}
        dd{margin:0;overflow-wrap:anywhere}
        .bar{display:flex;justify-content:space-between;align-items:flex-start;gap:1rem}
        .bar .mark{flex:none}
        article{margin:0 0 3rem}
        article>.bar{border-top:1px solid var(--ink);padding-top:.8rem}
        h2+article>.bar{border-top:0;padding-top:0}
        .place{margin:.1rem 0 .6rem;color:var(--soft)}
        .facts{border-left:2px solid var(--rule);padding-left:1.1rem}
        .facts.head{border:0;padding:0}
        .finding{border:1px solid var(--rule);border-left:5px solid var(--tone);border-radius:3px;margin:.9rem 0;\
        padding:.9rem 1.2rem}
        .finding>p{margin:.35rem 0}
        .number{color:var(--soft);font-variant-numeric:tabular-nums;margin-right:.35em;font-weight:400}
        .evidence{background:var(--tint);border-radius:3px;padding:.5rem .9rem;margin:.7rem 0 .5rem}
        .remedy{border-left:3px solid var(--bad);padding-left:.8rem}
        .label{font-weight:600;color:var(--bad)}
        .serves{list-style:none;margin:.6rem 0 0;padding:0;display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;font-size:.85rem}
        .faults{list-style:none;margin:0;padding:0}
        .faults li{border-left:5px solid var(--bad);padding:.2rem 0 .2rem 1.1rem;margin:0 0 1.3rem}
        .faults p{margin:.25rem 0}
        .where{color:var(--soft);font-size:.9rem}
        .note{background:var(--told-ground);border-left:5px solid var(--told);padding:.8rem 1.1rem}
        pre{background:var(--tint);border:1px solid var(--rule);border-radius:3px;padding:.9rem 1.1rem;\
        white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.7}
        pre code{font-size:.84rem}

        """

    private static let tables = """
        table{width:100%;border-collapse:collapse;margin:0}
        caption{text-align:left;color:var(--soft);font-size:.9rem;padding:0 0 .7rem}
        p+table{margin-top:1.2rem}
        th,td{text-align:left;vertical-align:top;padding:.6rem .9rem .6rem 0;border-bottom:1px solid var(--rule);\
        overflow-wrap:anywhere}
        thead th{color:var(--soft);font-size:.85rem;font-weight:600;border-bottom:1px solid var(--ink);padding-top:0;\
        overflow-wrap:normal}
        tbody th{font-weight:600;width:30%}
        th .soft,.asks{display:block;font-weight:400;color:var(--soft);font-size:.88rem}
        td:last-child,th:last-child{padding-right:0}
        .index{list-style:none;margin:0;padding:0}
        .index li{display:grid;grid-template-columns:7.6rem minmax(0,1fr);align-items:baseline;gap:.7rem;\
        padding:.14rem 0;font-size:.92rem}
        .index .mark{justify-self:start}
        .hops th:first-child{width:20%}.hops td:nth-child(2){width:24%}.hops td:nth-child(3){width:28%}
        .requirements th:first-child{width:30%}.requirements th:last-child{width:8.4rem}
        .part{display:block}

        """

    private static let drawing = """
        figure{margin:1.4rem 0 0}
        figcaption{margin-top:1rem;color:var(--soft);font-size:.88rem;max-width:50rem}
        svg{display:block;width:100%;height:auto}
        svg.narrow{display:none}
        svg text{fill:var(--ink);font-size:11px}
        svg .node{font-weight:600;font-size:11.5px}
        svg .name{font-weight:600;font-size:11.5px}
        svg .version{font-size:11px}
        svg .mono{font-size:9.8px}
        svg .soft{fill:var(--soft)}
        svg .small{font-size:10.5px}
        .box{fill:var(--tint);stroke:var(--soft);stroke-width:1}
        .box.ours{fill:var(--accent);stroke:var(--accent)}
        svg .node.ours{fill:var(--on)}
        .store{fill:var(--sheet);stroke:var(--tone);stroke-width:1.4}
        .line{fill:none;stroke:var(--tone);stroke-width:2.2}
        .line.bad,.store.bad{stroke-dasharray:7 4}
        .line.open,.store.open{stroke-dasharray:2 4}
        .head{fill:var(--tone)}
        .disc{fill:var(--tone);stroke:var(--sheet);stroke-width:2.5}
        .stroke{fill:none;stroke:var(--on);stroke-width:1.9;stroke-linecap:round;stroke-linejoin:round}
        .tie{fill:none;stroke:var(--rule);stroke-width:1.2}

        """

    private static let narrow = """
        @media screen and (max-width:44rem){
        .sheet{margin:0;border-width:6px 0 0;padding:1.6rem 1.1rem 1.5rem}
        h1{font-size:1.85rem}
        h2{font-size:1.35rem;margin-top:2.6rem}
        svg.wide{display:none}
        svg.narrow{display:block;max-width:26rem}
        svg.narrow .node{font-size:13.5px}
        svg.narrow .name{font-size:13px}
        svg.narrow .version,svg.narrow .soft{font-size:11.5px}
        svg.narrow .mono{font-size:10.5px}
        dl div{grid-template-columns:minmax(0,1fr);padding:.3rem 0}
        .verdict{padding:.8rem 1rem}
        .finding{padding:.8rem .9rem}
        .bar{flex-wrap:wrap;gap:.4rem 1rem}
        table,tbody,caption,tr,th,td{display:block;width:auto}
        thead{position:absolute;left:-999rem}
        tr{border-bottom:1px solid var(--rule);padding:.7rem 0}
        tbody td[data-label]:nth-child(n),tbody th:first-child{border:0;padding:.12rem 0;width:auto}
        td{display:grid;grid-template-columns:6.5rem minmax(0,1fr);gap:.6rem}
        td::before{content:attr(data-label);color:var(--soft);font-size:.85rem}
        .requirements td{display:block}
        .requirements td::before{content:none}
        }

        """

    private static let paper = """
        @page{size:A4;margin:17mm 15mm 18mm}
        @media print{
        :root{color-scheme:light;--ground:#fff;--sheet:#fff;--ink:#000;--soft:#444;--rule:#bbb;--tint:#f4f4f2;\
        --accent:#0b4a53;--good:#155c37;--good-ground:#fff;--bad:#8c1414;--bad-ground:#fff;--open:#5f3f00;\
        --open-ground:#fff;--told:#333;--told-ground:#fff;--on:#fff}
        html{font-size:9.4pt}
        body{line-height:1.45}
        .sheet{margin:0;padding:0;border:0;max-width:none}
        nav,.skip{display:none}
        a{color:inherit;text-decoration:none}
        h1{font-size:22pt}
        h2{font-size:14pt;margin:20pt 0 8pt}
        h3{font-size:12pt}
        h2,h3,h4,.bar,caption{break-after:avoid}
        .finding,.faults li,tr,figure,.verdict,.note,pre,dl,.index li{break-inside:avoid}
        .place,article>.facts,caption,thead{break-after:avoid}
        tbody tr:first-child{break-before:avoid}
        article{margin-bottom:16pt}
        footer{margin-top:12pt;padding-top:6pt}
        thead{display:table-header-group}
        .box.ours,.disc,.head{print-color-adjust:exact;-webkit-print-color-adjust:exact}
        p{orphans:3;widows:3}
        }

        """
}
