package sim

import "testing"

// BenchmarkWorld runs scenario after scenario: events a second, and how much simulated time passes in one.
func BenchmarkWorld(b *testing.B) {
	var events, accepted uint64
	var simulated int64
	b.ReportAllocs()
	for n := 0; n < b.N; n++ {
		r := Run(NewScenario(uint64(n+1)), Honest, nil)
		if r.Violation != nil {
			b.Fatal(r.Violation)
		}
		events += r.Events
		accepted += r.Accepted
		simulated += r.Time
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(accepted)/b.Elapsed().Seconds(), "accepted/s")
	b.ReportMetric(float64(simulated)/1e9/b.Elapsed().Seconds(), "simulated-s/s")
}
