/// The look of the page: light or dark by the reader's preference, one column or a line by the room there is.
enum PageStyle {
    static let source = #"""
        :root {
          color-scheme: light dark;
          --ground: #f4f6f8; --card: #ffffff; --ink: #16202b; --soft: #55616f; --edge: #d5dbe3; --wire: #aab4c0;
          --good: #0a7350; --bad: #b3261e; --open: #855400; --tint: #eef2f6;
          --mono: ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", monospace;
        }
        @media (prefers-color-scheme: dark) {
          :root {
            --ground: #0e1318; --card: #171e26; --ink: #e6ebf1; --soft: #9daab8; --edge: #2b3641; --wire: #4a5866;
            --good: #53c996; --bad: #ff8f85; --open: #e9b75e; --tint: #1f2832;
          }
        }
        * { box-sizing: border-box; }
        body {
          margin: 0; background: var(--ground); color: var(--ink);
          font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif;
          font-variant-numeric: tabular-nums; overflow-wrap: anywhere;
        }
        .wrap { max-width: 1720px; margin: 0 auto; padding: 0 clamp(16px, 2.4vw, 40px); }
        h1, h2, h3, p, dl, dd, ol { margin: 0; padding: 0; }
        code { font: 0.88em/1.4 var(--mono); }
        a { color: inherit; text-underline-offset: 3px; }
        a:focus-visible { outline: 2px solid currentColor; outline-offset: 3px; border-radius: 2px; }
        [hidden] { display: none !important; }

        .top { border-bottom: 1px solid var(--edge); background: var(--card); }
        .top .wrap { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 14px; min-height: 54px; padding-block: 8px; }
        .brand { font-weight: 650; letter-spacing: -0.01em; }
        .top nav { display: flex; flex-wrap: wrap; gap: 2px 16px; margin-left: auto; font-size: 14px; color: var(--soft); }
        .live { font-size: 13px; color: var(--soft); border: 1px solid var(--edge); border-radius: 99px; padding: 1px 10px; }
        .live span { display: none; }
        .live span::before { content: ""; display: inline-block; width: 8px; height: 8px; border-radius: 50%; margin-right: 7px; border: 2px solid currentColor; }
        :root[data-live="still"] .live .still, :root[data-live="live"] .live .on, :root[data-live="lost"] .live .lost { display: inline; }
        .live .on { color: var(--good); } .live .on::before { background: currentColor; }
        .live .lost { color: var(--open); }
        @media (prefers-reduced-motion: no-preference) {
          .live .on::before { animation: beat 2s ease-in-out infinite; }
          @keyframes beat { 50% { opacity: 0.35; } }
        }

        .sum { padding-block: clamp(20px, 3vw, 36px) 8px; }
        h1 { font-size: clamp(23px, 2.4vw, 32px); line-height: 1.2; font-weight: 650; letter-spacing: -0.015em; display: flex; align-items: baseline; gap: 0.45em; }
        .sum .sub { color: var(--soft); margin-top: 4px; }
        .mark::before { content: "?"; font-weight: 700; color: var(--open); }
        .mark[data-state="holds"]::before { content: "\2713"; color: var(--good); }
        .mark[data-state="falls-short"]::before { content: "\2715"; color: var(--bad); }

        .tiles { display: flex; flex-wrap: wrap; gap: 1px; margin-top: 20px; background: var(--edge); border: 1px solid var(--edge); border-radius: 10px; overflow: hidden; }
        .tiles > div { background: var(--card); padding: 12px 16px; min-width: 0; flex: 1 1 150px; }
        .tiles .chart { flex: 3 1 300px; }
        dt { color: var(--soft); font-size: 13px; }
        .tiles dd { font-size: 22px; line-height: 1.25; font-weight: 600; letter-spacing: -0.01em; }
        .tiles dd small { font-size: 13px; font-weight: 400; color: var(--soft); letter-spacing: 0; }
        .tiles .hint { display: block; color: var(--soft); font-size: 14px; font-weight: 400; line-height: 1.4; letter-spacing: 0; }
        .tiles .words { font-size: 17px; }
        .chart svg { display: block; width: 100%; height: 44px; margin-top: 6px; }
        .chart polyline { fill: none; stroke: var(--good); stroke-width: 2; vector-effect: non-scaling-stroke; stroke-linejoin: round; }
        .chart line { stroke: var(--edge); vector-effect: non-scaling-stroke; }

        .line { list-style: none; display: grid; grid-template-columns: minmax(0, 1fr); padding-block: 28px 36px; }
        .line > li { position: relative; padding: 0 0 20px 58px; min-width: 0; }
        .line > li::before { content: ""; position: absolute; left: 20px; top: 0; bottom: 0; width: 3px; background: var(--wire); }
        .line > .leg { --line: var(--good); }
        .line > .leg::before { background: var(--line); }
        .leg:has([data-state="not-checked"]), .line > .leg:not(:has(article)) { --line: var(--wire); }
        .leg:has(article[data-state="falls-short"]) { --line: var(--bad); }
        .line > .station:first-child::before { top: 20px; }
        .line > .station:last-child::before { bottom: auto; height: 20px; }
        .station .sign { position: absolute; left: 0; top: 0; width: 43px; height: 43px; border-radius: 50%; background: var(--card); border: 2px solid var(--wire); display: grid; place-items: center; }
        .station .sign svg { width: 22px; height: 22px; fill: none; stroke: var(--ink); stroke-width: 1.7; stroke-linecap: round; stroke-linejoin: round; }
        .station.me .sign { background: var(--ink); border-color: var(--ink); }
        .station.me .sign svg { stroke: var(--card); }
        .station h2 { font-size: 16px; line-height: 43px; font-weight: 650; }
        .station p { font-size: 13px; line-height: 1.45; color: var(--soft); margin-top: -8px; }
        .leg > h2 { font-size: 13px; font-weight: 600; color: var(--soft); margin-bottom: 8px; }
        .leg > h2 b { color: var(--ink); font-weight: 650; }
        .cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 270px), 1fr)); gap: 12px; align-items: start; }
        .none { border: 1px dashed var(--wire); border-radius: 10px; padding: 12px 14px; color: var(--soft); font-size: 14px; }

        article { background: var(--card); border: 1px solid var(--edge); border-left: 4px solid var(--open); border-radius: 10px; padding: 12px 14px 10px; min-width: 0; }
        article[data-state="holds"] { border-left-color: var(--good); }
        article[data-state="falls-short"] { border-color: var(--bad); }
        article header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 10px; }
        article h3 { font-size: 15.5px; font-weight: 650; }
        article .place { flex-basis: 100%; font: 13px/1.5 var(--mono); color: var(--soft); }
        article .why { font-size: 14px; line-height: 1.45; margin-top: 6px; }
        article[data-state="holds"] .why { color: var(--soft); }
        article dl { margin-top: 8px; border-top: 1px solid var(--edge); padding-top: 7px; display: grid; gap: 3px; font-size: 13.5px; }
        article dl > div { display: grid; grid-template-columns: 74px minmax(0, 1fr); gap: 8px; align-items: baseline; }
        article dd b { font-weight: 600; }
        article .key { display: block; color: var(--soft); font-size: 11.5px; }
        article .seen { margin-top: 7px; font-size: 12.5px; color: var(--soft); }

        .pick > span { display: none; }
        .pick[data-state="holds"] > .holds, .pick[data-state="falls-short"] > .falls-short, .pick[data-state="not-checked"] > .not-checked,
        .pick[data-state="matches"] > .matches, .pick[data-state="mismatch"] > .mismatch, .pick[data-state="unused"] > .unused, .pick[data-state="unseen"] > .unseen,
        .pick[data-state="up"] > .up, .pick[data-state="down"] > .down, .pick[data-state="ejected"] > .ejected, .pick[data-state="unchecked"] > .unchecked,
        .pick[data-state="not-kept"] > .not-kept, .pick[data-state="never"] > .never, .pick[data-state="unreadable"] > .unreadable, .pick[data-state="known"] > .known { display: inline; }
        .state { margin-left: auto; font-size: 13px; font-weight: 600; white-space: nowrap; }
        .good { color: var(--good); } .bad { color: var(--bad); } .open { color: var(--open); }
        .good::before { content: "\2713\00a0"; } .bad::before { content: "\2715\00a0"; } .open::before { content: "?\00a0"; }

        footer { border-top: 1px solid var(--edge); color: var(--soft); font-size: 13px; padding-block: 14px 28px; }
        footer p + p { margin-top: 4px; }

        @media (min-width: 1180px) {
          .line { grid-template-columns: 104px minmax(0, 1fr) 104px minmax(0, 1fr) 104px minmax(0, 1fr) 104px; }
          .line > li { padding: 0; }
          .line > li::before { left: 0; right: 0; top: 20px; bottom: auto; width: auto; height: 3px; }
          .line > .station:first-child::before { left: 50%; top: 20px; }
          .line > .station:last-child::before { right: 50%; bottom: auto; height: 3px; }
          .station { text-align: center; }
          .station .sign { left: 50%; margin-left: -21px; }
          .station h2 { line-height: 1.3; padding-top: 50px; font-size: 15px; }
          .station p { margin-top: 2px; }
          .leg > h2 { position: relative; width: max-content; max-width: 100%; margin: 10px auto 20px; padding: 0 10px; line-height: 24px; background: var(--ground); }
          .leg .cards { padding-inline: 6px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 250px), 1fr)); }
        }
        @media (min-width: 1500px) {
          .line { grid-template-columns: 104px minmax(240px, var(--client)) 104px minmax(240px, var(--app)) 104px minmax(240px, var(--database)) 104px; }
        }
        @media (max-width: 420px) { .tiles > div { padding: 10px 12px; flex-basis: 130px; } .line > li { padding-left: 54px; } }
        @media print { .live { display: none; } }
        """#
}
