// Package parameters holds what the adapter sends, and what the fake of Stripe answers, against
// stripe-mock, Stripe's own server for tests: it knows every parameter and field of the API, keeps no
// state and always answers the same. Its version is the oldest of 2024 that can be had, of API
// 2024-09-30; the adapter speaks 2024-06-20.
package parameters
