# everyhop: the only commands a newcomer needs.
.PHONY: build deps test
build:
	swift build
deps:
	./Scripts/deps.sh
test: deps
	swift test
