"""Between `flowspan.v1` messages and plain values. The only code, beside servers and stubs, that touches generated code."""
