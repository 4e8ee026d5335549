package broker

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Dial connects to the brokers and says how many there are. Closing the client ends the connection.
func (k *Kafka) Dial(ctx context.Context) (cl *kgo.Client, adm *kadm.Client, brokers int, err error) {
	options, err := k.Options()
	if err != nil {
		return nil, nil, 0, err
	}
	if cl, err = kgo.NewClient(options...); err != nil {
		return nil, nil, 0, err
	}
	adm = kadm.NewClient(cl)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	list, err := adm.ListBrokers(ctx)
	if err != nil {
		cl.Close()
		return nil, nil, 0, errors.New(Explain(err))
	}
	return cl, adm, len(list), nil
}
