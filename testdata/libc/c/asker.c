// Asks getaddrinfo for a name, and says how it ended.
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

int main(int count, char **words) {
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
	int error = count == 2 ? getaddrinfo(words[1], 0, &hints, &found) : EAI_FAIL;
	puts(error ? gai_strerror(error) : "found");
	return 0;
}
