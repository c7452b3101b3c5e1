package resolver

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"

	"github.com/clusterdns/clusterdns/zones/skydns"
)

// negativeEtcd is the TTL and MINIMUM of SOA records of etcd's zones in seconds, as in CoreDNS.
const negativeEtcd = 30

// etcd is a part: what it holds outlives a reload, while its options stay the same.
type etcd struct{ *skydns.Source }

func (e *etcd) run(ctx context.Context) { e.Run(ctx) }

// newEtcds compiles the directives etcd. The content of TLS files is part of the key, as for forward.
func (r *Resolver) newEtcds(b *block, log *slog.Logger) error {
	for i := range b.options.Etcd {
		o := &b.options.Etcd[i]
		var config *tls.Config
		files := Forward{CertFile: o.CertFile, KeyFile: o.KeyFile, CAFile: o.CAFile}
		secrets, err := readSecrets(&files)
		if err == nil && o.TLS {
			config, err = newTLS(&files, secrets)
		}
		if err != nil {
			return fmt.Errorf("etcd: tls: %w", err)
		}
		source, err := obtain(r, "etcd", []any{o.Options, o.TLS, secrets}, func() (*etcd, error) {
			s, err := skydns.New(o.Options, config, log)
			return &etcd{s}, err
		})
		if err != nil {
			return fmt.Errorf("etcd: %w", err)
		}
		n, err := newNamed(o.Zones, o.Fallthrough, negativeEtcd, FromEtcd)
		if err != nil {
			return fmt.Errorf("etcd: %w", err)
		}
		n.place, n.source = &source.NamesPlace, source.Source
		n.unsynced = func() string { return edeEtcdUnsynced }
		n.absent, n.partial = edeEtcdNoKey, edeEtcdPartial
		b.etcds = append(b.etcds, n)
	}
	return nil
}

// answerEtcd answers q from the first zone of an etcd that has an answer.
func answerEtcd(r *Request, q *question) result { return answerNamed(r, q, q.scope.etcd) }
