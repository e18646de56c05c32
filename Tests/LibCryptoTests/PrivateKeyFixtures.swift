/// Private keys as files hold them. Made for these tests with OpenSSL and, where that makes no such key, from chosen
/// primes; they guard nothing.
enum PrivateKeyFixtures {
    static let passphrase = "open sesame"

    /// 2,048 bits (RFC 8017 A.1.2).
    static let rsaTraditional = """
        -----BEGIN RSA PRIVATE KEY-----
        MIIEowIBAAKCAQEAv3mdmzJRUK5c5ZpqlX02NBXmzH3QFc7zBKLwJEwkV9GBzykR
        VM32whUP4EVMEVuKkaU6hOwRgoZaOd4xfJfMJDeYEbhMsNKo4SimM+dnph4Uvzv6
        q1cXx00O3fIsFBxDfq0lKgkg+Fi/kXs/dXn7GNpk+Q5ss9ypW04P6ejmatLmB3W5
        DWpUrpTqQKl6svDoNgKSMGZC8K4gYKCfpxmWiVZPfNv/2KdAP2nfNlJJ+bPoSAWy
        25x/coq8VXM6tivnXKbi1CnKX0f6qO5dUtO9tbQqclSAqj9I6VoM5aMZWYohAD9j
        pMMc/p7pXp+HhntEou3/M1fW8tXVAf6BfgkIVQIDAQABAoIBADO/eojnIHLdrN2g
        zg14uZ16DdZWalZ6h9NI9f3ZVjklth92yehRgc8SQigqklRemSSjsx0Zb+IGzXu2
        QUma/OEM5VxkotVnGZ1AjyqX77tFhfXpD+Yes555hPsW6DLHMLabtN+XeAGmep+m
        34+wV9xvqbpl25sAmATFJCfjeeKEhLe/ZqRHyaZWqEeNlQSQy5J5+Y52WhmcGMX4
        JirB4gahaEThWYhAiYpZ0sG14h0+Fr86oP/gvi+iIe8d5wwzDeevAPbDguXiumxn
        G0gkUpstECroHQW7FuTlNv551jyptIG5BCgWYSPsEI9TcU9l22Agvi/ppLzTLM3F
        PX0FokECgYEA9W1g1cMcuGb/2KrCbQR4xabXhTVU4Yr6qCdgWluyPllFaXuriV8y
        IBJtE1O2N6nFFdLWjOJdliXMpeJwhAH1Xgm8HK4ILbu6MW+sBXf17z8na01Qqrci
        6nrQmzYn9UmI4m143fUADIhjBdFDstceJRq9FZ/DBQuQxeij3OZLXrMCgYEAx7k9
        1+fPmyaCIC43HhHTP2s+TWENjn4f5OJJHT7MrlK0aX+MEB7kGjyqDHhWo7oTiLnY
        4v0m44NQcyoq3PJGWNYVbmtxfJb8FytcmGLZuEUQ3GYcAMNa209fpW7y3PkchAQg
        ZUt52qlhwAFkJZVcCt0eNH5sg6U/XqMnJDaRgNcCgYBsrgPMhPsJ2WqAKpWwKuPE
        Oq6DaWtt+Noobk9nk+VpYKSxIjeCvGn488/jWBV/rqj8kgG6H19r5s8pwg0rF6bs
        /oiTdqlefxvjWl0lisqYKDIvfOw0vKY0iTApGyE0qFx6UBnOx/g+lIKtB87fugy6
        R43lrnpwmH+CdBNj9YL4qwKBgQCm6H7vXTGZVoAuxpCXV4w0Frq1TeNXbr3WuOkj
        QKUrFcDh3Y6+tiIobwQpcbPuFgZXIAFKCQej4MytwdKaXPo/KYI1iiMIXOGFt14l
        l46duVJS7h5+4MOgPeAPz/20f5a+GPi9zmqiOyWOoVsBMaX/CjVA51pmVgX0X+LJ
        F7VXdwKBgFHFGiamFmUFAKBuEQgCGqKDGyz6YMO6icha5b6z2cNtHr/zdwr3Eqby
        caGL+P26MxC8xiBQs0A08c91UlG0V7ZmbLaRg8ekRcA9PWKLxjhX/TdTe7YGuXPK
        hC8UCVA584h/wKIyHCunjBS71wmJePtmq1pcUky7dKNq8n7BH8Fz
        -----END RSA PRIVATE KEY-----
        """

    /// The primes differ by about 2⁵⁰⁰.
    static let rsaClosePrimes = """
        -----BEGIN RSA PRIVATE KEY-----
        MIIEowIBAAKCAQEA60qKFMIeJD36N3THkfmjB9AbYrWOMISAlpYR5uynH1l7Qa3T
        BHScsvH8bYDehtvIb0fC1jWpW3ohjlCdIlrNyssrGiA+LjzvazTq5sjcXzi9o8qf
        fYTm6QFO0GVrSy58kNfp9Gdcb9hwjk2Rsfzp6+Cyx766v3Z1m5Xp3Y1dtZDK3PU0
        HVy1NoXkwnNATCFb8YVipc2epFuoy+vRhfy8iYuylv0ay0I0bp1VNA+tfWnzAXl0
        /DTrGt2Nrm9lBwjtXRG9UbvV2YHyVbLW2Xz/vaos6Y1HPDs9g4sT9e72ZS0D8XfG
        xQgDKxpZbga9YKpCQ+dE/2G3gSePBfPO2qdXKQIDAQABAoIBACJiJSV9bHwtVmhO
        N2+8hDd7ENVu5JVwd34J9hnB0XZCVEG3zhNjmxaHSDUUVPBuI68nVHCLLPGCOm8a
        lqvTiyksYWMS/SMyomYPOJh7F8EOgJ/z1zS3fCrmlwbbGz/ETk24T6b4h8iMX35c
        FYNmCyT+FAIefBnIjM0srh1DMEN82n1X3IkBjVic69zqRaVh0mJuyzvxNH9ts1av
        OylxlDquFP+2eoyuzqkMzbudi1MBMZfXmCjWMK0HM36W4D65ZchyQQdghKTZiHJq
        OEwseihRB57G2fIX/6xlVYtr44VTl/eJpQJ2+J3aXffz5vPbIBmzlcS0rHXG5ScI
        UpdYk2UCgYEA9W1g1cMcuGb/2KrCbQR4xabXhTVU4Yr6qCdgWluyPllFaXuriV8y
        IBJtE1O2N6nFFdLWjOJdliXMpeJwhAH1Xgm8HK4ILbu6MW+sBXf17z8na01Qqrci
        6nrQmzYn9UmI4m143fUADIhjBdFDstceJRq9FZ/DBQuQxeij3OZLXrMCgYEA9W1g
        1cMcuGb/2KrCbQR4xabXhTVU4Yr6qCdgWluyPllFaXuriV8yIBJtE1O2N6nFFdLW
        jOJdliXMpeJwhAH1XgnMHK4ILbu6MW+sBXf17z8na01Qqrci6nrQmzYn9UmI4m14
        3fUADIhjBdFDstceJRq9FZ/DBQuQxeij3OZLYLMCgYBsrgPMhPsJ2WqAKpWwKuPE
        Oq6DaWtt+Noobk9nk+VpYKSxIjeCvGn488/jWBV/rqj8kgG6H19r5s8pwg0rF6bs
        /oiTdqlefxvjWl0lisqYKDIvfOw0vKY0iTApGyE0qFx6UBnOx/g+lIKtB87fugy6
        R43lrnpwmH+CdBNj9YL4qwKBgQDsCfQV4n7ewwDRKvmuy5wzy9B/ptkpyfZkfupm
        PMZivIzLdEt35PxaaB5LdjlLs5V+9bWu7Y7Adz4pVGyOKSwI8zdBZgcrpN7f6Nzy
        rXr0TDLnOgaZCWUlSlUS0bUAbWafDlYuchFH/GvwDmEjwUyWtu6fu3Vehs8H6ESg
        kURxjQKBgEiSkb2qSt5rvszSBQtAUvMWjMa+OS2q4xDhP0Ib6rbkHB3J20jw2uKi
        dL5zRpTJc5JwITcSNW3iqlJmmqn2jDiEXorBTP6NXdespuJMJoX6d3IB612Uh4OR
        3/64jXl4MsnbeKI4LICH7Xsqvyh11W3J19JjPiwbQbpP4Gb44VSj
        -----END RSA PRIVATE KEY-----
        """

    /// Of 1,280 and 768 bits.
    static let rsaUnequalPrimes = """
        -----BEGIN RSA PRIVATE KEY-----
        MIIEwgIBAAKCAQEAoJZSlCFOPzNav8GxjpJtzq88HfmIJaiIe+TpTJFyBEasheGa
        ppa4nwAm9+X9TTM1ZM+D7IdW9JKypOdr+Nh9NelVUQMF+9kRTQo3qVayEcD9II3P
        Dh2o8HIxkXzLn8hl8yEoziyFWShtGP1lqp8m6YIGHmHV/CoUja5+0+hgSwsY2BtE
        11rj8u1oaIiz4elbn7XS17z67X0tzgFv8KXs6sXEVO/afZJ9GR9BPJW6o8lqP8Pb
        OHKKz3d5idkyHZWdoqufqFq2M2N+8Yr/Hoe45LyuqnXvkesz/Y10SOOqBy2ORrzG
        7SLfhq/1C4KL7GpAGP6b+0+xIP89wveBk7JeTwIDAQABAoIBAFeTw3NPepnTCvG6
        03d6efIW9QUv2cUX1V8j5uvAAls8o8fb0nh5iDQGZDobrnmUrNDOrxamdJCrFEwE
        fYjXn+lv1/x3VqMTrXDDWrm6MyCljCZd0AbVvBVtYYUDdxUrt6HQFivza4LuBORE
        Mg7GcyYDbEIL02+C8YhHpkJgA8zOT5zbqeDf0dBfhY90DKQQESVpEgim81JXGegb
        Q8GSnYX10uFY/wRFgFg/uwyxWek5i8FrOJNInvgpuGx6NFncuEHEcCx4Cl2o3FqP
        4DkrO5P1FZBe1cm+HdavOBVdsPqRCLP05t6mRJmBqhex+mkc2e8P/P/5Bo2p+/hS
        HOO6VakCgaEA1LY4pEZ/GZXuDxcm1C7QTFOofg9lx6F+3Bqlv9fbm0HJuXLMXJqV
        Nz4ERlejTNZrGygmiHR8vchiiNsyaCz4Hppr72H0f6dj3/YJF+RGgc5Jt5HHgTUT
        h3z2CQvrkGTrTlrBNnJ4f9CjmFfAHs4Y18mAT9eq/WHpJcGAyeoLsKes8IjfZMEF
        Ppt53U07I/mrrtjLKkCJW4ONDEsaLH8TJQJhAMFEiJDwnotHiel/kPB3W+USzS3f
        YcRShicL+oxGnZIX5jiaMVsd3ZwNto5xQG+xuC62lYyyYR+f+O4/X3JdJh/5smrd
        V/C3iYXu4hyh4LR1s6w8jrCiI+WzNDg7RJ/rYwKBoQCsImZF8lKqttz2U0r1zIh+
        K/kfQoCgA32wytO1Iw6xXpTLQS5GBkaYdNRqxEL/TElSqbQ9Gt9TiZTLoW7yROnp
        ghe0mbWNlD1LoUQMlIvGQdT/+7XSRsxuCV7lRUM1D6YoO2M+F3aSIJozD1gG1cve
        3E68zg+uiwxspGH/hCo/pAFcibcWRulil9kPkI86drJLhV8r6xv89cEv4JrmxVMN
        AmBVktzNIF1y2hgsdTld39umkC6dMx186fVQcLNdTR8TwtVDFrLn309ye3frliWr
        zwr4VAvfolPyxshX5WODpc7ttYfUXXFEul+AGAeyGdL+1Gbbymx7tS8j07c5drSq
        AnUCgaEAotwVYYp5NmfPFggbsY0ZB0FixyiNEeNSL3Oh1NLi6KV8zmGDE757Nnfb
        JDjAx4yBamdFNfhWVo3ZXQPi1BewpT3N+Wpmp9suBemhphkg1gK5yZ8+d3RFRXFn
        pRq/lrvOwnKDbHWXrasdPdVN9KFJvwc4PwT1OkaMgaZS0CPm9HTYLDSiWR+neEbA
        4WHSTFrNjV8EV8dHLT+SRhJ8RAVo3g==
        -----END RSA PRIVATE KEY-----
        """

    /// One of its primes is a product of two.
    static let rsaCompositePrime = """
        -----BEGIN RSA PRIVATE KEY-----
        MIIEowIBAAKCAQEAgAIdZI3X8LcqBLWl0F8axeUIDgD3iy9SBtfG8wFUaHGS8oQ4
        TJOSe5dl+FHXr36aAsUE5W8aJUv/pLiSK6lN2pt4XmUJ4wnMPodw51AYUXmNpCTj
        S8sh6kS2jFUjCgj7Y87bOkli+U6SAvOmku6goBU0qY6yr0BneprSWXSNpeLVyx3r
        4Z/JWsJntHi5RJ842kA9KZAXQwFvXDod7ziZ7KIuwFWoFVPyvvvoQO7BRQC+r4W8
        5G1xQtwrBuWjc8qqorQVJzadVC6yfcSVwhjhWAkxSfPiwn0w1mEMSWzdd6pFTSpi
        YwT1nhr3FATRXEpwZ9amGRocPko28Oau7txF5QIDAQABAoIBAF6uMcNgTupS8BdP
        q/d1gL4C63RALtiaBZfeHd87io0+BCyws1ugg2Y600dacafygkOuKjLxfGs9zTau
        9h6pOVWdgOLajf8jRP6FAJWYsoetLx5ooJ1O9weBBkB2wiDu8rJFgCtZ4mcVwqhd
        35581hSaI7UWChv6qBDPRcmRDurrjdnowrQWeXGBCQ90qWx1Ar/rTgsq3rAckDp5
        LY8Vw71o3xuUKxixeSahZwEn7vlIpFN1bvrvTFcu1CTqhIkpN+jIO9D2QfnH9tF8
        gYEDRg5fmXsOMWYqpmymaEDZ62ALJN+aKJyQEWfoqElDXSXCAByVLiWGm7sXcwFg
        IalxBaECgYEApBPL1b8ssX5+8n17JoK4Lkjaxu3f8dtfNdTcULv+Mt/HCqVaERis
        yRfsfVjIM5xsPS3MAb4o8ebK7i+fmXLPk/zPSYtqUbmattfwnMxDAjN26bMxYf/u
        EMQVRKWUjGPcLhCU8iUTcK5MS4LxPKar2rYGPXYnzgWK8JoWTsICC6MCgYEAx7k9
        1+fPmyaCIC43HhHTP2s+TWENjn4f5OJJHT7MrlK0aX+MEB7kGjyqDHhWo7oTiLnY
        4v0m44NQcyoq3PJGWNYVbmtxfJb8FytcmGLZuEUQ3GYcAMNa209fpW7y3PkchAQg
        ZUt52qlhwAFkJZVcCt0eNH5sg6U/XqMnJDaRgNcCgYAt7PuItypwhSi/QVwkEim5
        5cdlH/c1ycBJRDVn5yE9umRd2sMjrb3ElNyyDcFY0zhOwmO2n7xH0MlzreDRpeEu
        GCX7bEFluApEJ6jZSlMs99VsKLJx2o9oPQNsIvt4oRSTBnLl25lH+70ic0BDufX4
        Q+OV3zzHH4M+z0JRbSEXQQKBgQCm6H7vXTGZVoAuxpCXV4w0Frq1TeNXbr3WuOkj
        QKUrFcDh3Y6+tiIobwQpcbPuFgZXIAFKCQej4MytwdKaXPo/KYI1iiMIXOGFt14l
        l46duVJS7h5+4MOgPeAPz/20f5a+GPi9zmqiOyWOoVsBMaX/CjVA51pmVgX0X+LJ
        F7VXdwKBgD4IB0s91hqyhgHRIot3/IcX5S0sRUzb8Jq/qY2IPtoyr587nXWhsh4y
        1scR3WOQkfEalERI/K/rX6g2IqOlZB+b0WPw210Fm+sjYzPevidJW0Jd+5zc1+lW
        S6pruOyIcdog4zWz9dQTkz2UgFggYR+VJqSkNv90xOaR1YoCKbRP
        -----END RSA PRIVATE KEY-----
        """

    /// The private exponent of another key.
    static let rsaForeignExponent = """
        -----BEGIN RSA PRIVATE KEY-----
        MIIEowIBAAKCAQEAv3mdmzJRUK5c5ZpqlX02NBXmzH3QFc7zBKLwJEwkV9GBzykR
        VM32whUP4EVMEVuKkaU6hOwRgoZaOd4xfJfMJDeYEbhMsNKo4SimM+dnph4Uvzv6
        q1cXx00O3fIsFBxDfq0lKgkg+Fi/kXs/dXn7GNpk+Q5ss9ypW04P6ejmatLmB3W5
        DWpUrpTqQKl6svDoNgKSMGZC8K4gYKCfpxmWiVZPfNv/2KdAP2nfNlJJ+bPoSAWy
        25x/coq8VXM6tivnXKbi1CnKX0f6qO5dUtO9tbQqclSAqj9I6VoM5aMZWYohAD9j
        pMMc/p7pXp+HhntEou3/M1fW8tXVAf6BfgkIVQIDAQABAoIBACJiJSV9bHwtVmhO
        N2+8hDd7ENVu5JVwd34J9hnB0XZCVEG3zhNjmxaHSDUUVPBuI68nVHCLLPGCOm8a
        lqvTiyksYWMS/SMyomYPOJh7F8EOgJ/z1zS3fCrmlwbbGz/ETk24T6b4h8iMX35c
        FYNmCyT+FAIefBnIjM0srh1DMEN82n1X3IkBjVic69zqRaVh0mJuyzvxNH9ts1av
        OylxlDquFP+2eoyuzqkMzbudi1MBMZfXmCjWMK0HM36W4D65ZchyQQdghKTZiHJq
        OEwseihRB57G2fIX/6xlVYtr44VTl/eJpQJ2+J3aXffz5vPbIBmzlcS0rHXG5ScI
        UpdYk2UCgYEA9W1g1cMcuGb/2KrCbQR4xabXhTVU4Yr6qCdgWluyPllFaXuriV8y
        IBJtE1O2N6nFFdLWjOJdliXMpeJwhAH1Xgm8HK4ILbu6MW+sBXf17z8na01Qqrci
        6nrQmzYn9UmI4m143fUADIhjBdFDstceJRq9FZ/DBQuQxeij3OZLXrMCgYEAx7k9
        1+fPmyaCIC43HhHTP2s+TWENjn4f5OJJHT7MrlK0aX+MEB7kGjyqDHhWo7oTiLnY
        4v0m44NQcyoq3PJGWNYVbmtxfJb8FytcmGLZuEUQ3GYcAMNa209fpW7y3PkchAQg
        ZUt52qlhwAFkJZVcCt0eNH5sg6U/XqMnJDaRgNcCgYBsrgPMhPsJ2WqAKpWwKuPE
        Oq6DaWtt+Noobk9nk+VpYKSxIjeCvGn488/jWBV/rqj8kgG6H19r5s8pwg0rF6bs
        /oiTdqlefxvjWl0lisqYKDIvfOw0vKY0iTApGyE0qFx6UBnOx/g+lIKtB87fugy6
        R43lrnpwmH+CdBNj9YL4qwKBgQCpfV3FxWIW58u6GeGUpzBZBvceGVmlAm64mhNj
        8gYHhyVA6FaxwbCSuqvtsHilrVK+0mpbY1B32JBAlahS8Gb+EApemruPTjubjluW
        7jIw9JpfLrJGaIdYokC0Ak3mdZTfuqIIb396uvCauBQAwPtAdHMvoHkMKrzOs3j4
        PJvgQQKBgFHFGiamFmUFAKBuEQgCGqKDGyz6YMO6icha5b6z2cNtHr/zdwr3Eqby
        caGL+P26MxC8xiBQs0A08c91UlG0V7ZmbLaRg8ekRcA9PWKLxjhX/TdTe7YGuXPK
        hC8UCVA584h/wKIyHCunjBS71wmJePtmq1pcUky7dKNq8n7BH8Fz
        -----END RSA PRIVATE KEY-----
        """

    static let rsa1024 = """
        -----BEGIN PRIVATE KEY-----
        MIICeAIBADANBgkqhkiG9w0BAQEFAASCAmIwggJeAgEAAoGBANG+W1qPzPSo151r
        /vEMmQhm2gUmB1p1eTwK28Bzpcvu5tPpXffGxp6s9K7vqgD4cwQfXHd5MGLzs+af
        Ik5ezzSge6c2fn7GMzRVojnFEdp2/I5rYHaYRq8OY69k0SV+fgqu1HbaHByzkyRf
        QqI5xzIZbwcFCTp3cIvgMzpMoGFzAgMBAAECgYBxaKgks5RyxciwCfDzjYhBjrtc
        BU/8jYBcAtMHoICJYEfXVVvF2ekTaxlybYxSsgQeuoZY42JSXstra6g1D/ag1260
        2r/FlUbQfzav1ZgEpMFqV8Zhm8obIADVg89ilvMWee6ehZkwd0gTJ7igjZPrwqxl
        GP4J4MjjYrKo6uagYQJBAO0HjEaIwIZbRJNJlsl4XNnrSJR/5FE2LmIVlTcqUEHY
        Yvx08v5AOLm51tI13iazBjaMeyapS+GgMMS8+eeLk28CQQDih8DTUX1AiL7Zut1w
        k4zzzUjHPRcSwz1MbLGCFSyEtFp55m7DJ2muBM3xS7Oz6sCLH4ViuuEoEkTjamCp
        ZcA9AkEAlM9tUQcgH/oC1pmX0kr/uEzQF3Mnq5jhi/DS6nxlQMGSe78Mo3U8Z9X1
        uanaG9+/YdXWp1IYcsG4fHvMRYNKfwJBAML/FI9TEDxi+dY2srNbb/PV/BX1kk0G
        X1fQIKTXUTEShudz4lh/LssrO5PAFHqFUyTvB0TLlVGHGGGiin6HJgkCQQDZzYA5
        d5JOl1EO5qQNs7k/0ho8GW0ptU/CCk5P17ojwEaT6qpx5JvJ3PAfOkcA/aRjRrR4
        /Ep8ttO9RokgPeIJ
        -----END PRIVATE KEY-----
        """

    static let rsaExponent3 = """
        -----BEGIN RSA PRIVATE KEY-----
        MIIEowIBAAKCAQEA8ZaFgzPvE1S2MyKnCDoFKw9mz77N8wcEVJTC1SMtqdmAVYxM
        B7xCZCXSWJDQAsGVo15OWedTUcFddHaURRJL0O0de54kDthMZcifE/v9t7eVaEiO
        /rpW+8Vb3g67ITesdCKPo/sw+QEoy7v9ppkC5FH0sW2RJ7yW6xiFU9M9XkN7GzC6
        5BL2ozAeu5VyyKjuuPvM1ixbWVB/tTcgtJ7kfCQCP22+Yx0R8zCphYd4RJCViVk1
        Cw6UAUss6olfIyviPovlHdnATovrCqT51Vo4Mf7FEYLBzHv5U7/Fjv5/nUKcJ8YQ
        /Y7N16kS8Cc+aJ/Qv3lYNgn4BONkEuNX9iDvXQIBAwKCAQEAoQ8DrM1KDOMkIhca
        BXwDcgpEin8z91oC4w3XOMIecTuq47LdWn2BmBk25bXgAdZjwj7e5po3i9Y+TaRi
        2LbdNfNo/RQYCeWIQ9sUt/1Tz8+48DBfVHw5/S49PrR8wM/ITWxfwqd1+1YbMn1T
        xGYB7Yv4dkkLb9MPR2WuN+Io6YEGdlud/NMrtUCS0+clLN/7aUbxv2R6OqHpNkGj
        k/vvqU1BIEvuZMdSIzyV3e7QgJG9hyXG4mqHEcyl8zqiWSy7WT09/XD2SlxzZ373
        9hv8xsAi1j+aebGUqmF/DQrLYBMFjaLbDGit8sa8T9w51QYE+cCFH7EwbyARzId6
        pJcyqwKBgQD7l6eU6GUOaTFfXbnGKE5Cx/yHcy8apSpgd8WyCJhSPfSErm/6Atpz
        G5+kRunFSwOA4Mezu14LLRStSkGrq4KVcCSpfpLSW865QL6r1mYrkfjm72L8GH5Y
        YIBOlYPAV0Z4KslaKc0z0kXVf+a5ZO/gzT797JNvlJPl8aLQAUtFAQKBgQD10f+5
        AHEmqh3jIAD03Qqy0xTaw+aJXDNBbA75TgyqwDub4IveyRejorYkcbd6OLJ4XdjW
        /BC+OYOGs2+/8eYzyIteox18gzKErqfaDcoRdeWp4MBd/XNB8604ZeqONd+bqIhu
        QSSVGTki+HYuRCboe5mSmey/yZ9jbnVP/fLeXQKBgQCnum+4mu4Jm3Y/k9EuxYmB
        2qhaTMoRw3GVpS52sGWMKU2tyZ/8Aeb3Z7/C2fEuMgJV6y/NJ5QHc2MeMYEdHQG4
        9W3GVGHhkonQ1dRyju7HtqXvSkH9ZamQQFWJuQKAOi76xzDmxojNNtk4/+8mQ0qV
        3in+nbefuGKZS8HgANzYqwKBgQCj4VUmAEtvHBPswACjPgch4g3nLURbkszWSAn7
        iV3HKtJn6wfp22UXwc7C9npReyGlk+XkqAspe60Ed5/VS+7NMFzpwhOoV3cDHxqR
        Xoa2Tpkb6yrpU6Ir98jQQ/G0I+pnxbBJgMMOENDB+vl0LW9Fp7u3EUh/27+Xnvjf
        /qHpkwKBgA0nHCD7XMlfyts+SecwL67Z9FnMCH8okG/iTq8sa4RWgWQKqzifLIsb
        2CqrvDH/E7qrD4f21SenQCErp2IDG+3WjoFWLCnkitbrQUahv/FepQdn86lSh82D
        r+39B7RChg9XdHX4hUglP2Z7xPzGqn2FweK761EWB0doUKfe4CXP
        -----END RSA PRIVATE KEY-----
        """

    static let rsaThreePrimes = """
        -----BEGIN PRIVATE KEY-----
        MIIE8gIBADANBgkqhkiG9w0BAQEFAASCBNwwggTYAgEBAoIBAQCUnKFLYGPeXYd/
        DYsAspHTYix5uEXyPj6BGuK3YIsN9ZM8vekcu/QUI5iS07JnMq6uUjEURIGXh9Jo
        cqD/y0jRRXNE2ipjnkMoruoKaDJqaa/LVr+yz69NulDh36vqSrIo+ng147bsdKGW
        zxH2/Kalu+5rU3DvzsFZv6FNM9c5SDDj00jBrv3Kn8NqlGYvCSbfJN4x7jD3ybhA
        +HrCPJKHkVpC9boRTLB4RnzxgL2X5F9UEccl9DwsNv5ghw6MPo34TibUtuVVDsMm
        xt1jWjcOeRGgaDSTVMq+s/4Ee9jMZ35QutdlWKsDfrSqWUVAkejnAbL6/33RM9YS
        Zoz8H8ehAgMBAAECggEAGcjvZ2+rBEsAFnhYFN/m02FmTBw/7p8EI0xx59VVay+f
        w1tEFhs6Z0Ah2d/nRWaSzmYuY9DbF1qWlE7HRnqUANNnA5xC3JP6HRX0P6gCj1oV
        CVfc3O6pgBI+sm2ewtgjGJGicnzX9YABpTX1+HzcceGW7t/Me1Qk8g0eEEim1sSO
        A9whq4SNYacfOWJa7y4ZiiKj8EMra824XiHVk3B8sCFaj1Eyy+TG1YIThT+SnHCd
        nVoCKIqI6OKzw+uSZzscL3kc9TbjSahzpXoJ7QaXmz5mQ1nc8Wz5+OfdYm4W30Jk
        /qcqM2eBgPwO537TZ9ih6wc0WKF9YQ8J5YmcEt1pEQJWB2foJYNZ4+V5D8X0Mnji
        cNJ8HGvVwZKTwzdavALxV1dUrPVH2A1EOJPr1/GKzg/i5gXRvJMFzkWgzs5wg+E8
        rwYAyJHfKQVhMmo0LkE3doepv60UaBsCVgan0bG/h3h+fuvWkd8xfy9st8wlKHbJ
        vD4KcYKoiQqHsUynZsEUlk8hPt8mXGYc43UO0xLs/jQ0eMv5x0I30EKjyg0bIavg
        O6unTTRmkbGvT76WwhsVAlYFhFU+pMPw7oApzOhmNQFS1KoaLga1xfCHa5QPHQ4W
        Z3svwST9AJ0CnMcDPe+OI+1+N3WPyeJ4UAxEIytUQxUGuS0aPPiGQXivqsgmcPTV
        Oqisnk3mYwJWAzbOFHm7EVx9LKU9YrzDgAKPrB2RsfPwXUGr2X5MV/J5k9wPylSH
        1gTnGNqsqn9u9NvI4Q3kIQ/p+g9Qw9CyWUxByhx9IUSzbEzqAtE5sMZJy2+Ao5UC
        VXSSNaxmYgMV5d/yPUHzAIAMrRitiGNUsFUpMzbQeGbFxkCe3zAecxDsjqxDD8I8
        8J7yRRVOuDN+fOnvRLRvzrplhXfer4PIzIEeQFp5NoUPDrxQevUwggEMMIIBCAJW
        AwPZjzyLm+jYlFh0GyK6b0fXW5b0DvwHuq00HZhDAGq1MgvJnN+MGvMmUZYYuBPV
        ru8BoxNU9YveCjLM5AJLL52YRfyrV5eWvZ8eBhZOEs77PwchR+cCVgHi7cPWQQ+6
        34/pzDOSRg4MaC2xRGD/xiJB7sK5mupu2ZJHl8zkfff6vLX9cNfz6RX8Cw0qslS0
        P6gn4tSirsJLG5RmpBo5CaL5JMLwP8c65C6qWmNvAlYBilLmcXtPSTT2AcPnKUgb
        f1xf2sf7uPaUjQd784F2YSGuVBTTQ4L+QZrkSVKvdkLQDO/DixfOW3vfIIwGGMe9
        QiHaQcDucc2pLYAZXRQPb9eaECGxYA==
        -----END PRIVATE KEY-----
        """

    /// Bound to PSS by its own identifier (RFC 4055).
    static let rsaPSS = """
        -----BEGIN PRIVATE KEY-----
        MIIEvQIBADALBgkqhkiG9w0BAQoEggSpMIIEpQIBAAKCAQEAxOJNY2HS/qJjzD8R
        dOaiiGR86bwSJUypalU2i8XJAQ/Ej/7xoFt/+KmhxtfDpNeic7JH3MhnUECaEsV0
        eFm36noGSOCBaNS7/lWaGF3aZEUnZW13jBIm5Jd67rem4J06zmIdSztWXnsLhmou
        EGmUdAC0YvGe/WKbdGXRPkQ++Mr6i+jlrFPzfB0PUIlY3cRPf0pwqBeeWv43AXaK
        d7M9qTGhYCCNJcyvxp4KnnRAYHnhqbYixovQmFe4yYG3vp/Fy6OEWTCtJaF1Geb+
        RUflYf8EMsbmlI0/KPGs2y+0n5cMXjudgasc52+6UJQ8Vve6x9LMx0lQEgZo/HHB
        T0RGAwIDAQABAoIBAGIYtWFelN/dbmcOR3bdET9u/hQBanMeMs0xvvc+aUu3nQL4
        DlENNgJiFqJ5z9eavyzxN8AIM/226m2O51ytqybPfMEj5yah1DdBVIFuhclu8VWm
        iKmIQ8uitBQr+iAxBuNc3GanHn39xbzHu8LesCJqVXZ1F/f9ASKqNmrVWyDfNclf
        J7GCm3NMbXBnBX28uROli4UpwZKtvI9JGm5PRUkrTvw8c787E6tiHE9PAamd9Ynn
        htB+2bRyPPekzHEAmnMrP9DuOKiJoIWZRLY8FwsjWXAIupDqOlSqFg2SjQ64sHo8
        RCCy5KATkxJ0tI64Rv4boHWYxsF/8onoUDEi1EUCgYEA56GadCR/yF62l+mp6pgc
        TdHk+5xL4y3Syxwo6rtbCnkjAZgtU0kqym4AcBZFTrpQssgV5ubusqwMvNiGJbcv
        CRyULvA3fF0fR7myhPhNjJ/0v/zJ7yD3JVx/IrEEzlMxM1gJQ1ickNR3N6pI4h1e
        6dNYjti8uxxFjl5IW2mEmqcCgYEA2ZjetnQm90IzoXPUGVksCSdYTPGBqXJwxHN5
        eYdXYkRKiRCKSQXUGXRO0KrFQCklG+zxOeLKoTwpizNebEkTXEBA0LPnJHX3xXLJ
        hACLXu4a5e/j7dq2w4Z9IDMPpakIN98w+TNkwIn2jZoH08t+qCEv/2ImhPTiq8qQ
        adlikUUCgYEAraoME2gKJkBcxij6rFi/X9kuxTa57uo8UOwcAWHXMFMCW/+se/Uv
        j/ZJfcA01oH6XxCE20npTSyRoET2zvA446v5rfeMokFvYmdn4SoJepWy+v6cqB0f
        L3PaHjh6UfctvEEVMNkPCcdCWwng+ybqMoWyr+bwGZlozQUDWwYR1aECgYEAr1qg
        cAyesjfpf7zmOh9Ae4f3gtpFEZamBcrBJAzLgOdj4Z0ws7Q8vt6Z/VMBbrk5rI1/
        wJRhkxn2qLUW7NDfB0LIeOfh5+IhcD8W4ofFyRS9HHv8BNxy2JLzFxXPEENt2gjF
        YK3oDbmgtXBhym59fWRxV69zN0ZZvPOa+ZIz+rkCgYEArssMXA1mHg6M/j4pbjgw
        3e9KwSn0bRztGagvfU9IO1Q8DCaL6WDsWR8xOsRkC04tWeDmpBCXJMCKvXyxeKAq
        LZr9EB2EvNTlnL8Cl4MDQTXdgSySjnhmC+FBHvluaIzPkHo0RLPX0CN44qEvk7s4
        gCgEw7ekREAEmD1zus+l/HE=
        -----END PRIVATE KEY-----
        """

    /// With the curve in a block of its own, as `openssl ecparam -genkey` writes it.
    static let ecTraditional = """
        -----BEGIN EC PARAMETERS-----
        BggqhkjOPQMBBw==
        -----END EC PARAMETERS-----
        -----BEGIN EC PRIVATE KEY-----
        MHcCAQEEIJCH//3fojkMtg5l2eSdoanagP80cqnVcslRVxxYF50xoAoGCCqGSM49
        AwEHoUQDQgAEPTx3Xaj9M7dNwZWrzSvgxLljJOjh+uQP55VHafLn1+3m4WN+Ivmx
        UkGad8RBgm0fsTCsgafMghlJOy/C9hUP+g==
        -----END EC PRIVATE KEY-----
        """

    /// The same, with a `DEK-Info`. The passphrase is `passphrase`.
    static let ecTraditionalEncrypted = """
        -----BEGIN EC PRIVATE KEY-----
        Proc-Type: 4,ENCRYPTED
        DEK-Info: AES-256-CBC,0760FD53F2EA8A9EEEBE9027C2D29A72

        ePW1bXv+CItYFbKyVpsxe5k6VA8QtehDRrFaKAUDJTTiZsIIrmfpHhvOjyPdOWtU
        4sU0Ib204J99zik1WcExcOEXM3QTVHktb+qNj4MLobAbfMRX17yX3RyvHM0VWf6M
        ywdaefXz+sYzmkS2gQ9zy4hyC63cr4XUDWeeRWjMl7w=
        -----END EC PRIVATE KEY-----
        """

    /// The same as encrypted PKCS #8.
    static let ecEncrypted = """
        -----BEGIN ENCRYPTED PRIVATE KEY-----
        MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAg1dJCoRfs1xgICCAAw
        DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEOvhz8T9xS97lh7l5Im1r70EgZDC
        eiytlXso6409zKuuQOA/1XlhwPFYqY2GRWYiwyifi+f5xpmat6h1hhe02AU1NRLn
        A447LkTGyqDcecxzZsj1yjBlENe8jdGyVqM763YoME3pIxXMQgTLo4B0XgR0Kg1Z
        Mnjf5XiB8fHa5+lG2GEGq27wNsUK9XDXbMjOr8a0Lro2TFDe9QhwYz8xIi9GGuw=
        -----END ENCRYPTED PRIVATE KEY-----
        """

    /// On P-256, written out in full instead of named.
    static let ecExplicitCurve = """
        -----BEGIN EC PRIVATE KEY-----
        MIIBaAIBAQQgN9N1V6aR5m5YSbvVQ/vdY+B3oLqXzI6s8XgThAshzFSggfowgfcC
        AQEwLAYHKoZIzj0BAQIhAP////8AAAABAAAAAAAAAAAAAAAA////////////////
        MFsEIP////8AAAABAAAAAAAAAAAAAAAA///////////////8BCBaxjXYqjqT57Pr
        vVV2mIa8ZR0GsMxTsPY7zjw+J9JgSwMVAMSdNgiG5wSTamZ44ROdJreBn36QBEEE
        axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54W
        K84zV2sxXs7LtkBoN79R9QIhAP////8AAAAA//////////+85vqtpxeehPO5ysL8
        YyVRAgEBoUQDQgAEcXr+CnHDQVGuc0uBkSCVegEKbZ4AeF/8/L6fS1MyL2+Xme7N
        ymPrwMs2FHuMZB2ZA4RnCcJ4beoWiqYflBzFUw==
        -----END EC PRIVATE KEY-----
        """

    static let p384 = """
        -----BEGIN PRIVATE KEY-----
        MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDAbAGPvA8Aqs0FKwHnc
        63y1IeL7PfgqYjWQF0/hCsa1FKI72Lym725B2vgUeTEbpoehZANiAASWEuwJtQy8
        yYc8LqkIRgWf8dVW+79G341LrxN95wEMXJIJLUTwW45sC8/LWE++Gki15GK5isPq
        RRzqVVrlYmUvKhb79VNPqJFR9bT2mPQlsETv3jZdcDDClHmasj1Smvk=
        -----END PRIVATE KEY-----
        """

    static let k256 = """
        -----BEGIN PRIVATE KEY-----
        MIGEAgEAMBAGByqGSM49AgEGBSuBBAAKBG0wawIBAQQgUpHE04ARwfWoi9MnYe2s
        H2z9Ese/KR864lsSjKNdj8ahRANCAAT3rFkEV6JfCctB1aJWf/rjjWKsdwSbOglh
        1cb4CvO0Yc+jfFmwg+BKA3IB+3HsA9pG1S9R0l9Re76UxAjtezoq
        -----END PRIVATE KEY-----
        """

    static let x25519 = """
        -----BEGIN PRIVATE KEY-----
        MC4CAQAwBQYDK2VuBCIEIMhMhOh9F0GSF2qCjGwmnbMbW/s8GBzkRmlc6l46Hihd
        -----END PRIVATE KEY-----
        """

    static let publicKey = """
        -----BEGIN PUBLIC KEY-----
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEPTx3Xaj9M7dNwZWrzSvgxLljJOjh
        +uQP55VHafLn1+3m4WN+IvmxUkGad8RBgm0fsTCsgafMghlJOy/C9hUP+g==
        -----END PUBLIC KEY-----
        """
}
