// Custom resource definitions that the rendered chart is checked against. Nothing is built from these modules.
module tools/crds

go 1.26.0

require (
	github.com/openshift/api v0.0.0-20240830023148-b7d0481c9094
	github.com/prometheus-operator/prometheus-operator v0.85.0
)
