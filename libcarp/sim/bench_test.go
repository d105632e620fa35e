package sim

import (
	"syscall"
	"testing"
)

// BenchmarkWorld runs scenario after scenario: events a second, and how much simulated time passes in one, also by the processor's time, which other
// work on the machine does not change.
func BenchmarkWorld(b *testing.B) {
	var events, accepted uint64
	var simulated int64
	b.ReportAllocs()
	before := processorTime(b)
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
	b.ReportMetric(float64(events)/(processorTime(b)-before), "events/cpu-s")
	b.ReportMetric(float64(simulated)/1e9/b.Elapsed().Seconds(), "simulated-s/s")
}

// processorTime returns the seconds that this process has used.
func processorTime(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
