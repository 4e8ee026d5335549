package broker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// kafkaAdvice says for a broker's error code what is wrong and what to do. It
// has the codes an operator can do something about; the others speak for
// themselves or pass.
var kafkaAdvice = map[int16]string{
	kerr.SaslAuthenticationFailed.Code:   "the broker refused the user name or the password: correct sasl in the config, or the user on the broker",
	kerr.UnsupportedSaslMechanism.Code:   "the broker does not offer this SASL mechanism on this port: set sasl.mechanism to one that it offers",
	kerr.IllegalSaslState.Code:           "the broker does not expect a SASL login on this port: remove sasl, or use the broker's SASL port",
	kerr.TopicAuthorizationFailed.Code:   "the user may not use this topic: grant it on the broker (Read and Describe on what wayward reads, Write and Describe on what it writes, Create and AlterConfigs for wayward topics apply)",
	kerr.GroupAuthorizationFailed.Code:   "the user may not use this consumer group: grant Read on it on the broker",
	kerr.ClusterAuthorizationFailed.Code: "the user may not do this on the cluster: grant IdempotentWrite, and Create for wayward topics apply, on the broker",
	kerr.TransactionalIDAuthorizationFailed.Code: "the user may not use this transactional id: grant Write and Describe on the ids that begin with " +
		"the name of wayward's group, on the broker",
	kerr.UnknownTopicOrPartition.Code:  "a topic or partition is not there: run wayward topics apply, or correct topics in the config",
	kerr.UnknownTopicID.Code:           "a topic was deleted and made anew under the same name: restart wayward; if the records are gone, with an empty state directory",
	kerr.InvalidProducerEpoch.Code:     "another process took over this transactional id: see that no two instances have the same instance name; this one starts its session anew",
	kerr.ProducerFenced.Code:           "another process took over this transactional id: see that no two instances have the same instance name; this one starts its session anew",
	kerr.FencedInstanceID.Code:         "another process joined the group under this instance name: give every instance its own",
	kerr.InvalidReplicationFactor.Code: "the cluster has fewer brokers than copies are asked for: lower topics.replication, or add brokers",
	kerr.PolicyViolation.Code:          "a policy of the cluster forbids these topic settings: change topics in the config, or ask who runs the cluster",
	kerr.InvalidConfig.Code:            "the broker does not take one of the topic settings: it may be too old (wayward needs Apache Kafka 2.8 or newer)",
	kerr.UnsupportedVersion.Code:       "the broker is too old for this request: wayward needs Apache Kafka 2.8 or newer",
	kerr.NotEnoughReplicas.Code:        "too few copies of a partition are in sync: bring the missing brokers back; nothing is lost, it is tried again",
	kerr.CoordinatorNotAvailable.Code:  "the broker that coordinates the group or the transactions is starting or moving: it is tried again",
	kerr.NotCoordinator.Code:           "the broker that coordinates the group or the transactions is moving: it is tried again",
	kerr.MessageTooLarge.Code:          "a record is larger than the topic takes: run wayward topics apply, or raise max.message.bytes of the topic",
	kerr.RecordListTooLarge.Code:       "a batch of records is larger than the topic takes: run wayward topics apply, or raise max.message.bytes of the topic",
	kerr.OffsetOutOfRange.Code:         "the records wanted are no longer on the broker: its retention is shorter than wayward was away, so state has to be made anew: stop wayward, move its state directory away and start it",
	kerr.KafkaStorageError.Code:        "the broker cannot write to its disk: look at its log, mostly the disk is full",
}

// Explain turns an error of the Kafka client into one sentence of what is wrong
// and what to do. The sentence holds no secret, as the errors hold none.
func Explain(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	if e, ok := errors.AsType[*kerr.Error](err); ok {
		if advice := kafkaAdvice[e.Code]; advice != "" {
			return fmt.Sprintf("%s (%s)", advice, e.Message)
		}
		return fmt.Sprintf("the broker says %s: %s", e.Message, e.Description)
	}
	if e, ok := errors.AsType[*kgo.ErrDataLoss](err); ok {
		return fmt.Sprintf(
			"the broker has lost records of %s partition %d from offset %d on, which wayward has read already: its disk was damaged, or a copy that lagged behind became the leader. Stop all instances and run wayward state rebuild --all",
			e.Topic, e.Partition, e.ResetTo)
	}
	if e, ok := errors.AsType[*kgo.ErrFirstReadEOF](err); ok {
		switch first := e.Error(); {
		case strings.Contains(first, "SASL"):
			return "the broker hung up on our first request, as brokers do that want a SASL login: set sasl, or use another port (one that is just stopping hangs up, too)"
		case strings.Contains(first, "broker requires TLS"):
			return "the broker hung up on an unencrypted connection, as brokers do that want TLS: set tls, or use the broker's plaintext port"
		}
		return "the broker hung up during the TLS handshake: if it speaks no TLS on this port remove tls or use its TLS port, if it wants a client certificate set tls.cert and key"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "the broker does not speak TLS on this port: remove tls, or use the broker's TLS port"
	}
	if strings.Contains(text, "tls alert record") {
		return "the broker speaks TLS on this port and we do not: set tls, or use the broker's plaintext port"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the broker's certificate is signed by an authority we do not know: set tls.ca to the certificate of that authority"
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Sprintf(
			"the broker's certificate is not for %s: use the name it is for in brokers, or set tls.server_name", e.Host)
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if e.Reason == x509.Expired {
			return "the broker's certificate is expired or not yet valid: renew it, and check the clocks"
		}
		return "the broker's certificate is not valid: " + e.Error()
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "remote error" {
		if strings.Contains(text, "certificate") {
			return "the broker refused our certificate (" + e.Err.Error() +
				"): set tls.cert and tls.key to a pair whose authority the broker trusts"
		}
		return "the broker ended the TLS handshake (" + e.Err.Error() +
			"): it may allow other TLS versions or ciphers only"
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return fmt.Sprintf("the host name %s cannot be resolved: correct brokers, or the broker's advertised.listeners",
			e.Name)
	}
	at := ""
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Addr != nil {
		at = " at " + e.Addr.String()
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens" + at + ": start the broker, or correct brokers or the broker's advertised.listeners"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no way to the broker" + at + ": check the network"
	case errors.Is(err, kgo.ErrClientClosed):
		return "the client is closed already"
	case errors.Is(err, context.Canceled):
		return "given up because wayward is stopping"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.Is(err, syscall.ETIMEDOUT):
		return "the broker" + at +
			" did not answer in time: it may hang, be overloaded, or a firewall may drop the packets"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET),
		errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed):
		return "the broker" + at + " closed the connection: it may be restarting"
	}
	return text
}

// Explained is err with the text of Explain; to errors.Is it is still err.
func Explained(err error) error { return explained{err} }

type explained struct{ error }

func (e explained) Error() string { return Explain(e.error) }
func (e explained) Unwrap() error { return e.error }

// needsHelp tells errors that stay until somebody changes a password, a
// certificate or the config from those that pass when the broker is up.
func needsHelp(err error) bool {
	for _, e := range []error{kerr.SaslAuthenticationFailed, kerr.UnsupportedSaslMechanism, kerr.IllegalSaslState,
		kerr.ClusterAuthorizationFailed, kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed,
		kerr.TransactionalIDAuthorizationFailed} {
		if errors.Is(err, e) {
			return true
		}
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*kgo.ErrFirstReadEOF](err); ok {
		return true
	}
	if _, ok := errors.AsType[settingError](err); ok { // a secret's file is gone or empty
		return true
	}
	e, ok := errors.AsType[*net.OpError](err)
	return ok && e.Op == "remote error"
}

// transient tells errors that go away once the brokers are up and have settled from those that
// somebody must do something about.
func transient(err error) bool {
	if needsHelp(err) {
		return false
	}
	if e, ok := errors.AsType[*kerr.Error](err); ok {
		return e.Retriable
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, os.ErrDeadlineExceeded,
		context.DeadlineExceeded, kgo.ErrRecordRetries, kgo.ErrRecordTimeout} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
