/// What keeps the page up to date: it fills in what the server has rendered, and makes no markup of its own.
///
/// `data-v` names the value that an element shows, `data-s` the value that is its state; both are paths into `/hops.json`.
enum PageScript {
    static let source = #"""
        "use strict";
        (() => {
          const root = document.documentElement;
          const at = (map, path) => path.split(".").reduce((value, key) => value == null ? value : value[key], map);
          const set = (element, text) => { if (element.textContent !== text) element.textContent = text; };
          const draw = (history) => {
            const most = Math.max(1, ...history);
            const start = 60 - history.length;
            document.getElementById("spark").setAttribute(
              "points", history.map((count, i) => `${(start + i) * 10},${56 - Math.round(52 * count / most)}`).join(" "));
          };
          const show = (map) => {
            if (map.monitor !== root.dataset.monitor) { location.reload(); return; }
            for (const element of document.querySelectorAll("[data-v]")) {
              const value = at(map, element.dataset.v);
              set(element, value == null || value === "" ? "\u2013" : String(value));
            }
            for (const element of document.querySelectorAll("[data-s]")) {
              const state = at(map, element.dataset.s) ?? "";
              if (element.dataset.state !== state) element.dataset.state = state;
            }
            for (const element of document.querySelectorAll("[data-if]")) {
              element.hidden = at(map, element.dataset.if) == null;
            }
            draw(map.traffic.history);
          };
          const listen = () => {
            const events = new EventSource("/events");
            events.onmessage = (event) => { root.dataset.live = "live"; show(JSON.parse(event.data)); };
            events.onerror = () => {
              root.dataset.live = "lost";
              // Refused, because too many listen or everyhop is gone: the browser does not try again by itself.
              if (events.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
            };
          };
          listen();
        })();
        """#
}
