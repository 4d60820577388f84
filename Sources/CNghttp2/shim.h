// The session layer of HTTP/2 (RFC 9113); nothing here but the system's header.
#include <nghttp2/nghttp2.h>
