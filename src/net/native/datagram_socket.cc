#include "datagram_socket.h"

#include <netdb.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace tandem {

namespace {

/** Messages that one system call sends; further ones take a further call. */
constexpr uint32_t kSendBatch = 64;

socklen_t SizeOf(int family) {
  return family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
}

const sockaddr* Generic(const sockaddr_storage& address) { return reinterpret_cast<const sockaddr*>(&address); }

}  // namespace

bool ParseAddress(const char* text, uint16_t port, sockaddr_storage* out) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  hints.ai_flags = AI_NUMERICHOST;
  addrinfo* found = nullptr;
  if (getaddrinfo(text, nullptr, &hints, &found) != 0) return false;
  *out = {};
  memcpy(out, found->ai_addr, found->ai_addrlen);
  freeaddrinfo(found);
  // The port is at the same place in both families.
  reinterpret_cast<sockaddr_in*>(out)->sin_port = htons(port);
  return true;
}

bool FormatAddress(const sockaddr_storage& address, char* text, size_t size) {
  return getnameinfo(Generic(address), SizeOf(address.ss_family), text, size, nullptr, 0, NI_NUMERICHOST) == 0;
}

void FromPeer(const Peer& peer, int family, sockaddr_storage* out) {
  if (family == AF_INET) {
    auto* in = reinterpret_cast<sockaddr_in*>(out);
    *in = {};
    in->sin_family = AF_INET;
    in->sin_port = htons(peer.port);
    in->sin_addr.s_addr = htonl(peer.address[0]);
    return;
  }
  auto* in6 = reinterpret_cast<sockaddr_in6*>(out);
  *in6 = {};
  in6->sin6_family = AF_INET6;
  in6->sin6_port = htons(peer.port);
  in6->sin6_scope_id = peer.scope;
  for (int i = 0; i < 4; i++) in6->sin6_addr.s6_addr32[i] = htonl(peer.address[i]);
}

void ToPeer(const sockaddr_storage& address, Peer* out) {
  if (address.ss_family == AF_INET) {
    const auto& in = reinterpret_cast<const sockaddr_in&>(address);
    *out = {ntohs(in.sin_port), 0, {ntohl(in.sin_addr.s_addr), 0, 0, 0}};
    return;
  }
  const auto& in6 = reinterpret_cast<const sockaddr_in6&>(address);
  out->port = ntohs(in6.sin6_port);
  out->scope = in6.sin6_scope_id;
  for (int i = 0; i < 4; i++) out->address[i] = ntohl(in6.sin6_addr.s6_addr32[i]);
}

Inbox::Inbox(uint8_t* bytes, size_t stride, uint32_t* lengths, Peer* sources, size_t slots)
    : lengths_(lengths), sources_(sources), headers_(slots), vectors_(slots), names_(slots), controls_(slots) {
  for (size_t i = 0; i < slots; i++) {
    vectors_[i] = {bytes + i * stride, stride};
    msghdr& header = headers_[i].msg_hdr;
    header.msg_name = &names_[i];
    header.msg_iov = &vectors_[i];
    header.msg_iovlen = 1;
    header.msg_control = &controls_[i];
  }
}

int DatagramSocket::Open(const OpenOptions& options) {
  family_ = options.local.ss_family;
  connected_ = options.connected;
  fd_ = socket(family_, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int result = fd_ < 0 ? -errno : SetUp(options);
  if (result < 0) Close();
  return result;
}

int DatagramSocket::SetUp(const OpenOptions& options) {
  // One family each: an IPv4 sender never looks like ::ffff:192.0.2.1.
  if (family_ == AF_INET6 && SetOption(IPPROTO_IPV6, IPV6_V6ONLY, 1) < 0) return -errno;
  if (options.reuse_port && SetOption(SOL_SOCKET, SO_REUSEPORT, 1) < 0) return -errno;
  if (SetOption(SOL_SOCKET, SO_RXQ_OVFL, 1) < 0) return -errno;
  // The kernel grants what net.core.rmem_max and wmem_max allow, without an error.
  if (SetOption(SOL_SOCKET, SO_RCVBUF, options.receive_buffer_bytes) < 0) return -errno;
  if (SetOption(SOL_SOCKET, SO_SNDBUF, options.send_buffer_bytes) < 0) return -errno;
  if (bind(fd_, Generic(options.local), SizeOf(family_)) < 0) return -errno;
  if (!connected_) return 0;
  return connect(fd_, Generic(options.peer), SizeOf(options.peer.ss_family)) < 0 ? -errno : 0;
}

void DatagramSocket::Close() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

int DatagramSocket::Receive(Inbox* inbox) {
  for (mmsghdr& header : inbox->headers_) {
    // The kernel leaves here how much of them it has used.
    header.msg_hdr.msg_namelen = sizeof(sockaddr_storage);
    header.msg_hdr.msg_controllen = sizeof(Inbox::Control);
  }
  int received;
  do {
    received = recvmmsg(fd_, inbox->headers_.data(), inbox->headers_.size(), MSG_DONTWAIT, nullptr);
  } while (received < 0 && errno == EINTR);
  if (received < 0) return errno == EAGAIN ? 0 : -errno;
  for (int i = 0; i < received; i++) {
    inbox->lengths_[i] = inbox->headers_[i].msg_len;
    ToPeer(inbox->names_[i], &inbox->sources_[i]);
  }
  // The kernel's count only grows, so the youngest datagram knows it best.
  if (received > 0) CountDrops(inbox->headers_[received - 1].msg_hdr);
  return received;
}

void DatagramSocket::CountDrops(const msghdr& header) {
  const cmsghdr* control = CMSG_FIRSTHDR(&header);
  if (!control || control->cmsg_level != SOL_SOCKET || control->cmsg_type != SO_RXQ_OVFL) return;
  uint32_t count;
  memcpy(&count, CMSG_DATA(control), sizeof count);
  // It wraps around: only the difference counts.
  drops_ += static_cast<uint32_t>(count - static_cast<uint32_t>(drops_));
}

int DatagramSocket::Send(const Outbox& outbox, uint32_t first, uint32_t count) {
  std::array<mmsghdr, kSendBatch> headers;
  std::array<iovec, kSendBatch> vectors;
  std::array<sockaddr_storage, kSendBatch> names;
  count = std::min(count, kSendBatch);
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t start = outbox.bounds[first + i];
    vectors[i] = {outbox.bytes + start, outbox.bounds[first + i + 1] - start};
    headers[i] = {};
    msghdr& header = headers[i].msg_hdr;
    header.msg_iov = &vectors[i];
    header.msg_iovlen = 1;
    if (connected_) continue;
    FromPeer(outbox.targets[first + i], family_, &names[i]);
    header.msg_name = &names[i];
    header.msg_namelen = SizeOf(family_);
  }
  int sent;
  do {
    sent = sendmmsg(fd_, headers.data(), count, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? -errno : sent;
}

int DatagramSocket::BufferBytes(int option) const {
  int bytes = 0;
  socklen_t size = sizeof bytes;
  return getsockopt(fd_, SOL_SOCKET, option, &bytes, &size) < 0 ? -errno : bytes;
}

int DatagramSocket::LocalAddress(sockaddr_storage* out) const {
  socklen_t size = sizeof *out;
  return getsockname(fd_, reinterpret_cast<sockaddr*>(out), &size) < 0 ? -errno : 0;
}

int DatagramSocket::SetOption(int level, int name, int value) {
  return setsockopt(fd_, level, name, &value, sizeof value);
}

}  // namespace tandem
