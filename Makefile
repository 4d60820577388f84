# everyhop: the only commands a newcomer needs.
PREFIX ?= /usr/local
RELEASE = swift build -c release --static-swift-stdlib

.PHONY: build deps run test bench bench-abuse bench-instructions exam exam-slow exam-soak fuzz lint install deb test-deb

build: deps
	$(RELEASE) --product everyhop

# Installs what is missing (Debian 12, as root); the Swift toolchain has to be there.
deps:
	@./Scripts/deps.sh

# A complete example on loopback: legacy application, proxy, certificates, pins.
run: build
	.build/release/everyhop demo

test: deps
	swift build --build-tests
	@./Scripts/test.sh

# Beside nginx, HAProxy, h2o, nghttpx, Caddy and stunnel, 25 minutes; see docs/performance.md.
bench: build
	@./Scripts/bench-deps.sh
	python3 Scripts/bench/bench.py $(BENCH)

# Instructions of the pure parts and of whole operations beside their thresholds; ends with 1 if one got slower.
bench-instructions: build
	@./Scripts/bench-deps.sh
	$(RELEASE) --product Instructions
	python3 Scripts/bench/instructions.py $(BENCH)

# What attacks over HTTP/2 cost another client; see docs/http2.md.
bench-abuse: build
	python3 Scripts/bench/abuse.py

# Reloads, new certificates, upgrades and killed workers under full load (docs/operation.md); minutes.
exam: build
	python3 Scripts/exam/torture.py

# Half an hour of mixed load: do memory, descriptors or logs grow?
exam-soak: build
	python3 Scripts/exam/soak.py --minutes $${MINUTES:-30}

# What slow clients cost another one, by slowhttptest in its four modes; see docs/limits.md.
exam-slow: build
	@command -v slowhttptest > /dev/null || apt-get install -y -q --no-install-recommends slowhttptest
	python3 Scripts/exam/slowhttp.py

# Ten million mutated inputs for every parser.
fuzz: deps
	$(RELEASE) --product Fuzz
	.build/release/Fuzz --count $${COUNT:-10000000} --seed $${SEED:-1}

lint:
	swift format lint --strict -r Sources Tests Package.swift
	./Scripts/lint.sh

install: build
	install -D -m 755 .build/release/everyhop $(DESTDIR)$(PREFIX)/bin/everyhop
	install -D -m 644 config.example.toml $(DESTDIR)$(PREFIX)/share/doc/everyhop/config.example.toml
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed "s|/usr/bin/|$(PREFIX)/bin/|" packaging/everyhop.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/everyhop.service

# A package for Debian 12, and its life in a Debian of its own (as root).
deb: build
	./Scripts/deb.sh

test-deb: deb
	./Scripts/test-deb.sh
