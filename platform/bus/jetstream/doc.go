// Package jetstream carries Watermill messages over NATS JetStream, and runs the NATS
// server inside our own process when there is no other.
//
// # Promises
//
// A publish returns nil only after the stream has stored the message; publishing to a topic
// with a UUID that it had within the stream's Duplicates window stores nothing and is no
// error. A consumer group sees every stored message at least once, until it is acked, over
// restarts of the process and of the broker. After a crash or a lost connection it may come
// again: whoever needs an effect once keeps an inbox.
//
// Messages of one key (metadata "tenantid" and "subject" together; no key is one key) are
// handed out one at a time and in the order of the stream, while other keys go on; a nacked
// message is handed out again in place, after a delay, before the next one of its key. That
// order holds within one subscription and, with Config.Exclusive, over restarts. It does not
// hold across instances that share a group, nor when one of them dies and what it had in
// flight comes again only after AckWait: package bus makes an event wait there for the one
// that was told before it, and snapshots carry a version.
//
// A message in our hands, waiting or being handled, is kept alive at the broker however long
// its handler takes; the broker does not give it to anybody else meanwhile.
//
// # Subjects
//
// A message of the topic payment.transaction.payed.v1 is stored under that subject with one
// more token, the metadata "tenantid", or _ without one: a tenant's messages can be found,
// counted and erased by subject, and one filter finds a topic's. So a stream of payment.>
// has all topics that begin with payment, and no topic may be another topic plus one token.
//
// # Why not watermill-nats
//
// Its subscribers (v2.1.3) panic when a subscription is cancelled under load, and prefetch
// past AckWait; its JetStream publisher sets no message id. The pull loop here speaks the
// pull protocol itself, because the client's Consume and Messages ask for more messages
// whenever they like, and Fetch drops what is on the way when it is cancelled. Here a
// message is asked for only when there is room for it, and a subscription that ends gives
// back everything that it did not handle.
package jetstream
