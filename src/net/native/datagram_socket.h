#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tandem {

/** An address as JavaScript has it: words in host order. IPv4 is in `address[0]` alone. */
struct Peer {
  uint32_t port;
  uint32_t scope;
  uint32_t address[4];
};

/** Reads a numeric address. */
bool ParseAddress(const char* text, uint16_t port, sockaddr_storage* out);
/** Writes an address as text, with its zone if it has one. */
bool FormatAddress(const sockaddr_storage& address, char* text, size_t size);
void FromPeer(const Peer& peer, int family, sockaddr_storage* out);
void ToPeer(const sockaddr_storage& address, Peer* out);

/** Where the datagrams of one `recvmmsg` go; the memory is JavaScript's. All sockets of a thread share one. */
class Inbox {
 public:
  Inbox(uint8_t* bytes, size_t stride, uint32_t* lengths, Peer* sources, size_t slots);
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;

 private:
  friend class DatagramSocket;
  union Control {
    cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(uint32_t))];
  };

  uint32_t* const lengths_;
  Peer* const sources_;
  std::vector<mmsghdr> headers_;
  std::vector<iovec> vectors_;
  std::vector<sockaddr_storage> names_;
  std::vector<Control> controls_;
};

/** What waits to be sent: message `i` is `bytes[bounds[i]]` up to `bytes[bounds[i + 1]]`. The memory is JavaScript's. */
struct Outbox {
  uint8_t* bytes;
  const uint32_t* bounds;
  const Peer* targets;
};

struct OpenOptions {
  sockaddr_storage local;
  /** Whether `peer` is to be connected to. */
  bool connected;
  sockaddr_storage peer;
  /** Others may bind the same port if they ask for it too, and the kernel spreads the datagrams over all of them. */
  bool reuse_port;
  int receive_buffer_bytes;
  int send_buffer_bytes;
};

/** A UDP socket that moves datagrams by the batch and never blocks. Errors are returned as negative numbers from errno. */
class DatagramSocket {
 public:
  DatagramSocket() = default;
  ~DatagramSocket() { Close(); }
  DatagramSocket(const DatagramSocket&) = delete;
  DatagramSocket& operator=(const DatagramSocket&) = delete;

  int Open(const OpenOptions& options);
  void Close();

  /** How many datagrams are in the inbox. */
  int Receive(Inbox* inbox);
  /** How many of `count` messages the kernel took; an error is that of the first. */
  int Send(const Outbox& outbox, uint32_t first, uint32_t count);

  int fd() const { return fd_; }
  /** Datagrams that the kernel dropped for want of room in the receive buffer. */
  uint64_t drops() const { return drops_; }
  /** In bytes, as the kernel counts: about twice the payload that fits in. */
  int BufferBytes(int option) const;
  int LocalAddress(sockaddr_storage* out) const;

 private:
  int SetUp(const OpenOptions& options);
  int SetOption(int level, int name, int value);
  void CountDrops(const msghdr& header);

  int fd_ = -1;
  int family_ = AF_UNSPEC;
  bool connected_ = false;
  uint64_t drops_ = 0;
};

}  // namespace tandem
