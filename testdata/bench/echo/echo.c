// echo PORT THREADS: the limit of what a DNS server over UDP can do. It answers every datagram with one A record and looks at
// nothing but where the question ends. It is also the upstream that answers at once.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 32, SIZE = 2048 };

static int port;

// The owner is a pointer to the question; A, IN, TTL 3600, 10.96.0.1.
static const unsigned char record[16] = {0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0x0e, 0x10, 0, 4, 10, 96, 0, 1};

static int listener(void) {
	int fd = socket(AF_INET, SOCK_DGRAM, 0), on = 1, room = 4 << 20;
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
	if (bind(fd, (void *)&at, sizeof at)) {
		perror("bind");
		exit(1);
	}
	return fd;
}

// answer turns a query of so many octets into its reply, and returns the length of that. EDNS is cut off.
static size_t answer(unsigned char *p, size_t length) {
	size_t end = 12;
	while (end < length && p[end])
		end += p[end] + 1;
	end += 5;
	if (end > length)
		return length;
	p[2] |= 0x84; // QR, AA
	p[3] = 0x80;  // RA: without it a forwarder may distrust the upstream
	p[7] = 1;
	p[9] = p[11] = 0;
	memcpy(p + end, record, sizeof record);
	return end + sizeof record;
}

static void *serve(void *unused) {
	static __thread unsigned char data[BATCH][SIZE];
	static __thread struct sockaddr_in from[BATCH];
	static __thread struct iovec vec[BATCH];
	static __thread struct mmsghdr m[BATCH];
	int fd = listener();
	for (int i = 0; i < BATCH; i++) {
		vec[i].iov_base = data[i];
		m[i].msg_hdr.msg_name = &from[i];
		m[i].msg_hdr.msg_iov = &vec[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	for (;;) {
		for (int i = 0; i < BATCH; i++) {
			vec[i].iov_len = SIZE - sizeof record;
			m[i].msg_hdr.msg_namelen = sizeof from[i];
		}
		int n = recvmmsg(fd, m, BATCH, MSG_WAITFORONE, 0);
		for (int i = 0; i < n; i++)
			vec[i].iov_len = answer(data[i], m[i].msg_len);
		for (int sent = 0, k; sent < n; sent += k)
			if ((k = sendmmsg(fd, m + sent, n - sent, 0)) <= 0)
				break;
	}
	return unused;
}

int main(int count, char **words) {
	pthread_t thread;
	if (count != 3) {
		fprintf(stderr, "usage: echo PORT THREADS\n");
		return 2;
	}
	port = atoi(words[1]);
	for (int i = 1; i < atoi(words[2]); i++)
		pthread_create(&thread, 0, serve, 0);
	serve(0);
}
