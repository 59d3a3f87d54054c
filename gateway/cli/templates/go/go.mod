module example.com/@NAME@

go 1.26.0

@SDK@
