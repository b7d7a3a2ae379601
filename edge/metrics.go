package edge

import "github.com/prometheus/client_golang/prometheus"

var (
	epochMetric     = prometheus.NewDesc("muster_edge_epoch", "Epoch of the state that answers.", nil, nil)
	sequenceMetric  = prometheus.NewDesc("muster_edge_sequence", "Sequence number of the state that answers.", nil, nil)
	accountsMetric  = prometheus.NewDesc("muster_edge_accounts", "Accounts in it.", nil, nil)
	ageMetric       = prometheus.NewDesc("muster_edge_head_age_seconds", "Age of the last head that was believed.", nil, nil)
	connectedMetric = prometheus.NewDesc("muster_edge_connected", "1 while the centre is followed.", nil, nil)
	connectsMetric  = prometheus.NewDesc("muster_edge_connects_total", "Streams of the centre that began.", nil, nil)
	fetchedMetric   = prometheus.NewDesc("muster_edge_snapshots_total", "Snapshots fetched whole.", nil, nil)
	refusedMetric   = prometheus.NewDesc("muster_edge_refused_total", "Messages that were not believed, by why.", []string{"why"}, nil)
)

// Describe and Collect make a Follower a collector of its status.
func (f *Follower) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{epochMetric, sequenceMetric, accountsMetric, ageMetric, connectedMetric, connectsMetric, fetchedMetric, refusedMetric} {
		ch <- d
	}
}

func (f *Follower) Collect(ch chan<- prometheus.Metric) {
	s := f.Status()
	gauge := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	gauge(epochMetric, float64(s.Epoch))
	gauge(sequenceMetric, float64(s.Sequence))
	gauge(accountsMetric, float64(s.Accounts))
	connected := 0.0
	if s.Connected {
		connected = 1
	}
	gauge(connectedMetric, connected)
	if !s.Head.IsZero() {
		gauge(ageMetric, f.conf.Clock().Sub(s.Head).Seconds())
	}
	ch <- prometheus.MustNewConstMetric(connectsMetric, prometheus.CounterValue, float64(s.Connects))
	ch <- prometheus.MustNewConstMetric(fetchedMetric, prometheus.CounterValue, float64(s.Snapshots))
	for _, r := range Refusals {
		ch <- prometheus.MustNewConstMetric(refusedMetric, prometheus.CounterValue, float64(s.Refused[r]), string(r))
	}
}
