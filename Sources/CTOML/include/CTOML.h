#ifndef EVERYHOP_CTOML_H
#define EVERYHOP_CTOML_H
#endif
