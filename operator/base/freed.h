// Why: objects of C libraries are freed by functions of their own: std::unique_ptr<X509, Freed<X509_free>>.
// May not: know any library.
#pragma once

namespace strix {

template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};

}  // namespace strix
