// Resolves a name with glibc's getaddrinfo, which asks for A and AAAA together, and prints the first address of each
// family for each try: getaddrinfo PORT NAME TRIES. The server is 127.0.0.1 at PORT.
#include <arpa/inet.h>
#include <netdb.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  if (argc != 4 || res_init() != 0) return 2;
  _res.nscount = 1;
  _res.nsaddr_list[0].sin_family = AF_INET;
  _res.nsaddr_list[0].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  _res.nsaddr_list[0].sin_port = htons(atoi(argv[1]));
  for (int i = atoi(argv[3]); i > 0; i--) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list;
    int error = getaddrinfo(argv[2], NULL, &hints, &list);
    if (error != 0) {
      printf("%s\n", gai_strerror(error));
      continue;
    }
    int seen4 = 0, seen6 = 0;
    for (struct addrinfo *a = list; a != NULL; a = a->ai_next) {
      int *seen = a->ai_family == AF_INET ? &seen4 : &seen6;
      char host[NI_MAXHOST];
      if (!(*seen)++ && getnameinfo(a->ai_addr, a->ai_addrlen, host, sizeof host, NULL, 0, NI_NUMERICHOST) == 0)
        printf("%s ", host);
    }
    printf("\n");
    freeaddrinfo(list);
  }
}
